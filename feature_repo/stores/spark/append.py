"""Appends rows to a source that Spark reads from files."""

import pyarrow as pa
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from feature_repo.stores.source_rows import fitted
from feature_repo.stores.spark.instants import in_microseconds


def append(spark: SparkSession, rows: pa.Table, source: SparkSource) -> None:
    """Add files, in the partitions ``name=value`` that the source's files lie in.

    A file beside the folders of partitions would be passed over by Spark when it reads them.

    Args:
        spark: Where they are written from.
        rows: The source's columns, in any order; partitions are columns too. Nanoseconds, which Spark does not read
            from Parquet, are rounded down to microseconds.
        source: With a path.

    Raises:
        ValueError: a column is missing, is not the source's, or holds what the source's type cannot.
    """
    table = spark.read.format(source.file_format).load(source.path)
    alike = fitted(in_microseconds(rows), to_arrow_schema(table.schema, timezone="UTC"), source.path)
    frame = spark.createDataFrame(alike, table.schema)
    writer = frame.write.format(source.file_format).mode("append")
    writer.partitionBy(*_partitions(table)).save(source.path)


def _partitions(table: DataFrame) -> list[str]:
    files = table.inputFiles()
    folders = files[0].split("/")[:-1] if files else []
    names = [folder.partition("=")[0] for folder in folders if "=" in folder]
    return [name for name in names if name in table.columns]
