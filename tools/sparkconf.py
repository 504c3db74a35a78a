"""What Spark starts with on this machine: its settings, its log, and the environment to source."""

import os
import shlex
from pathlib import Path

from tools.trouble import Trouble

DEFAULTS = """\
# Written by set-up (tools/sparkconf.py); changes here are lost. Only what must hold for every Spark process of this
# machine: the project's own settings are in conf/*.yml.

# As files, not as spark.jars.packages, which would resolve 33 JARs anew at each start.
spark.jars {jars}
spark.sql.extensions io.delta.sql.DeltaSparkSessionExtension
spark.sql.catalog.spark_catalog org.apache.spark.sql.delta.catalog.DeltaCatalog

# A timestamp's day must not depend on where the machine stands.
spark.sql.session.timeZone UTC

# Without it, a flipped byte in a Parquet page is read as data once the .crc file is gone.
spark.hadoop.parquet.page.verify-checksum.enabled true

# HotSpot does not compile methods over 8,000 bytes of code, and what Spark generates for a mapping of twenty checked
# fields is longer: interpreted it takes 1.5 times as long (18 s against 12 s for 490,000 invoices on one core).
# A driver that is the whole of a small Spark wants throughput, and little memory beside its heap: no concurrent
# collector. Nor does most of what a step runs stay hot for long: two fifths of the processor time of a small day's
# sums went into compiling, so code is compiled for good after ten times as many calls as is usual (bench/compiler.py).
spark.driver.extraJavaOptions {jvm} {later}
spark.executor.extraJavaOptions -XX:-DontCompileHugeMethods

# Which line of Python made a column: told to the JVM by four calls a column, of 0.5 ms each. Half of all calls of an
# ingest (13,600 against 6,600), and a third of the time of one that takes in a handful of records.
spark.python.sql.dataFrameDebugging.enabled false

# The pages of a running job (data, plans, settings) need no password: nothing listens unless asked for.
spark.ui.enabled false
spark.ui.showConsoleProgress false

# What those pages would show of a plan is written at every change of it: for a hundred features, half of the planning.
spark.sql.ui.explainMode simple
spark.sql.ui.retainedExecutions 20
"""

# `$${{` is how log4j would keep its own variables; none is used. Standard output belongs to the commands.
LOG4J2 = """\
# Written by set-up (tools/sparkconf.py). The console is for what the commands say: errors only, cause in one line.
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr

appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex{short}

# Spark 4.2.0 with cached tables: a NullPointerException of the heartbeat thread that harms nothing.
appender.stderr.filter.heartbeat.type = RegexFilter
appender.stderr.filter.heartbeat.regex = (?s).*Uncaught exception in thread .*executor-heartbeater.*
appender.stderr.filter.heartbeat.onMatch = DENY
appender.stderr.filter.heartbeat.onMismatch = NEUTRAL

# Warns that no application resource was given, at each start from Python.
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
"""

JVM = "-XX:-DontCompileHugeMethods -XX:+UseParallelGC"

COMPILED_LATER = (
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000"
    " -XX:Tier4BackEdgeThreshold=400000"
)
"""HotSpot's own four thresholds (5,000, 600, 15,000 and 40,000), times ten."""

ENV = """\
# Written by set-up. `. .spark/env` in a shell, and `seller-credit`, `spark-submit` and `pyspark` are this project's.
export JAVA_HOME={java_home}
export SPARK_HOME={spark_home}
export SPARK_CONF_DIR={conf}
export PYSPARK_PYTHON={python}
# Loopback: a machine's own name may not resolve, and no port of a local run is for other machines.
export SPARK_LOCAL_IP="${{SPARK_LOCAL_IP:-127.0.0.1}}"
export PATH={bin}:"$PATH"
# Another Python's or another Spark's, if the shell has them: they would win over the above.
unset PYTHONHOME PYTHONPATH PYSPARK_DRIVER_PYTHON PYSPARK_SUBMIT_ARGS SPARK_ENV_LOADED
"""


def write(spark_folder: Path, venv: Path, java_home: Path, jars: list[Path]) -> None:
    """Write `.spark/conf`, `.spark/java_home` and `.spark/env`, and show PySpark the way to the first."""
    conf = spark_folder / "conf"
    spark_home = pyspark_home(venv)
    conf.mkdir(parents=True, exist_ok=True)
    # as_uri writes a blank as %20; a bare path with a blank is cut there.
    _put(
        conf / "spark-defaults.conf",
        DEFAULTS.format(jars=",".join(jar.as_uri() for jar in jars), jvm=JVM, later=COMPILED_LATER),
    )
    _put(conf / "log4j2.properties", LOG4J2)
    _put(spark_folder / "java_home", f"{java_home}\n")
    quoted = {
        "java_home": java_home,
        "spark_home": spark_home,
        "conf": conf,
        "python": venv / "bin" / "python",
        "bin": venv / "bin",
    }
    _put(spark_folder / "env", ENV.format(**{key: shlex.quote(str(path)) for key, path in quoted.items()}))
    # Where Spark looks when SPARK_CONF_DIR is not set: so `.venv/bin/seller-credit` needs no environment at all.
    link = spark_home / "conf"
    if not link.is_symlink() or Path(os.readlink(link)) != conf:
        link.unlink(missing_ok=True)
        link.symlink_to(conf)


def pyspark_home(venv: Path) -> Path:
    """Return the folder of the PySpark that is installed in a virtual environment."""
    found = sorted(venv.glob("lib/python3*/site-packages/pyspark"))
    if not found:
        raise Trouble(f"{venv} has no PySpark: remove it and run the same command again.")
    return found[0]


def _put(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        scratch = path.with_name(path.name + ".new")
        scratch.write_text(text)
        os.replace(scratch, path)
