"""The Spark session of a step."""

import os
from pathlib import Path

from pyspark.sql import SparkSession

from conf.errors import UserError
from conf.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout, when the code runs from one."""


def spark_session(settings: Settings) -> SparkSession:
    """Return the running session, or start one.

    Under spark-submit the session is the cluster's and only what must hold is checked. Otherwise one is started from
    the settings, with the Delta JARs and Java that `make setup` put into the project.
    """
    if SparkSession.getActiveSession() is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        _use_project_set_up()
    builder = SparkSession.builder.appName("seller-credit")
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        builder = builder.master(settings.spark.master).config("spark.driver.memory", settings.spark.driver_memory)
        builder = builder.config("spark.sql.shuffle.partitions", settings.spark.shuffle_partitions)
        for key, value in settings.spark.config.items():
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    # days are computed from UTC stamps by an explicit zone: a session in another zone would shift plain dates
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # with a lower limit Spark adds up the bytes of all of a batch before each row that it sends to Python: half of the
    # processor seconds of a sweep. A batch ends by its number of rows
    spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", str(2**31 - 1))
    if "DeltaSparkSessionExtension" not in (spark.conf.get("spark.sql.extensions", "") or ""):
        raise UserError(
            "Spark was started without Delta Lake. Run `make setup` in a checkout, or start with the two Delta JARs and"
            " spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension,"
            " spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog"
        )
    return spark


def _use_project_set_up() -> None:
    conf_folder = PROJECT / ".spark" / "conf"
    if conf_folder.is_dir():
        os.environ.setdefault("SPARK_CONF_DIR", str(conf_folder))
    java_home = PROJECT / ".spark" / "java_home"
    if java_home.is_file():
        # the Java first on the path may be one that Spark 4 cannot use
        os.environ["JAVA_HOME"] = java_home.read_text().strip()
