"""The Spark session, and event tables as data frames. Same code on a laptop and a cluster."""

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from feature_repo.errors import RecommendError
from feature_repo.events import EventTable
from feature_repo.home import events_path, home, scratch_path

JAVA_VERSIONS = (17, 21)
"""What Spark 4.3 runs on."""


LOG4J = Path(__file__).with_name("log4j2.properties")


def java_version() -> int | None:
    """The major version of the Java that Spark would start; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=f"{home}/bin" if home else None)
    if command is None:
        return None
    printed = subprocess.run([command, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', printed)
    return int(found[1]) if found else None


def session(name: str) -> SparkSession:
    """A running session: local with all cores, or the cluster that ``SPARK_MASTER`` names.

    Driver memory comes from ``RECOMMEND_SPARK_MEMORY`` (default 4g) and must be known before the JVM starts.

    Raises:
        RecommendError: no Java that Spark runs on.
    """
    if (version := java_version()) not in JAVA_VERSIONS:
        found = "no Java" if version is None else f"Java {version}"
        raise RecommendError(
            f"Spark needs Java 17 or 21 and found {found}: install one (Debian: apt-get install "
            "openjdk-17-jre-headless; macOS: brew install openjdk@17) or point JAVA_HOME at one"
        )
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    master = os.environ.get("SPARK_MASTER", "local[*]")
    builder = (
        SparkSession.builder.appName(name)
        .master(master)
        .config("spark.driver.memory", os.environ.get("RECOMMEND_SPARK_MEMORY", "4g"))
        # A build wants throughput, not short pauses.
        .config(
            "spark.driver.extraJavaOptions",
            f"-XX:+UseParallelGC -Dlog4j.configurationFile={LOG4J.as_uri()}",
        )
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        # A day's file is small: a task reads hundreds of them.
        .config("spark.sql.files.openCostInBytes", "256k")
        .config("spark.sql.autoBroadcastJoinThreshold", "64m")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.local.dir", str(scratch_path()))
        .config("spark.sql.warehouse.dir", str(scratch_path() / "warehouse"))
    )
    if master.startswith("local"):
        builder = builder.config("spark.sql.shuffle.partitions", str(2 * (os.cpu_count() or 1)))
        # On one machine, a job with a task per folder takes ten times as long as listing thousands in turn.
        builder = builder.config("spark.sql.sources.parallelPartitionDiscovery.threshold", "100000")
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)  # the exception says it too
    with _errors_to(home() / "spark.log"):
        return builder.getOrCreate()


@contextmanager
def _errors_to(log: Path) -> Iterator[None]:
    """Let a process that is started meanwhile, the JVM, write its standard error into a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    with log.open("a") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def read_events(spark: SparkSession, table: EventTable, root: Path | None = None) -> DataFrame:
    """An event table as a data frame, with its partition column ``day`` (date) so that scans are pruned.

    Bots' and people's rows alike; an absent table is an empty frame of the right types.
    """
    schema = from_arrow_schema(table.schema)
    path = (root or events_path()) / table.name
    if not any(path.glob("day=*/*.parquet")):
        return spark.createDataFrame([], schema).withColumn("day", F.lit(None).cast("date"))
    return spark.read.schema(schema.add("day", "date")).parquet(str(path))
