"""What Spark starts with, in a folder whose name has what breaks shells and lists."""

import os
import subprocess
from pathlib import Path

import pytest

from tools import sparkconf
from tools.trouble import Trouble


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a PySpark in its environment."""
    folder = tmp_path / "a b" / "seller's $HOME 100% 信用"
    (folder / ".venv/lib/python3.11/site-packages/pyspark").mkdir(parents=True)
    return folder


def write(project: Path) -> Path:
    """Write the settings and return where they are."""
    spark = project / ".spark"
    found = [spark / "jars" / "delta.jar", spark / "jars" / "storage.jar"]
    sparkconf.write(spark, project / ".venv", Path("/usr/lib/jvm/java 17"), found)
    return spark


def settings(spark: Path) -> dict[str, str]:
    """Read spark-defaults.conf as Spark does: a key, white space, the rest."""
    lines = (spark / "conf" / "spark-defaults.conf").read_text().splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def test_the_jars_are_a_list_of_uris(project: Path) -> None:
    told = settings(write(project))["spark.jars"].split(",")
    assert [uri.rsplit("/", 1)[1] for uri in told] == ["delta.jar", "storage.jar"]
    assert all(uri.startswith("file:///") and "a%20b/seller%27s%20%24HOME%20100%25%20%E4%BF%A1" in uri for uri in told)


def test_days_checksums_and_delta_hold_for_every_session(project: Path) -> None:
    told = settings(write(project))
    assert told["spark.sql.session.timeZone"] == "UTC"
    assert told["spark.hadoop.parquet.page.verify-checksum.enabled"] == "true"
    assert told["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension"
    assert told["spark.sql.catalog.spark_catalog"] == "org.apache.spark.sql.delta.catalog.DeltaCatalog"


def test_the_environment_can_be_sourced_and_wins_over_the_shell(project: Path) -> None:
    spark = write(project)
    wanted = {
        "JAVA_HOME": "/usr/lib/jvm/java 17",
        "SPARK_HOME": f"{project}/.venv/lib/python3.11/site-packages/pyspark",
        "SPARK_CONF_DIR": f"{project}/.spark/conf",
        "PYSPARK_PYTHON": f"{project}/.venv/bin/python",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": f"{project}/.venv/bin:/usr/bin:/bin",
    }
    shell = {
        "PATH": "/usr/bin:/bin", "JAVA_HOME": "/opt/java8", "SPARK_HOME": "/opt/spark-3", "PYTHONPATH": "/opt/other",
        "PYSPARK_DRIVER_PYTHON": "jupyter", "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    }  # fmt: skip
    said = subprocess.run(
        ["sh", "-c", '. "$0" && env -0', spark / "env"], env=shell, capture_output=True, text=True, check=True
    )
    got = dict(pair.split("=", 1) for pair in said.stdout.split("\0") if pair)
    assert {name: value for name, value in got.items() if name not in ("PWD", "OLDPWD", "SHLVL", "_")} == wanted


def test_spark_finds_its_settings_and_the_session_its_java_with_no_variable_set(project: Path) -> None:
    spark = write(project)
    pyspark = project / ".venv/lib/python3.11/site-packages/pyspark"
    assert (pyspark / "conf").resolve() == spark / "conf"
    assert (spark / "java_home").read_text() == "/usr/lib/jvm/java 17\n"


def test_a_second_run_writes_nothing_and_mends_the_link(project: Path) -> None:
    spark = write(project)
    link = project / ".venv/lib/python3.11/site-packages/pyspark/conf"
    link.unlink()
    link.symlink_to("/gone")
    before = {path: os.stat(path).st_mtime_ns for path in spark.rglob("*") if path.is_file()}
    write(project)
    assert {path: os.stat(path).st_mtime_ns for path in spark.rglob("*") if path.is_file()} == before
    assert link.resolve() == spark / "conf"


def test_an_environment_without_pyspark_is_said(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="has no PySpark"):
        sparkconf.pyspark_home(tmp_path)
