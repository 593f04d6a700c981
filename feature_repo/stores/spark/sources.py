"""Sources of features for Spark: Feast's own, and files, so that one set of feature views serves both profiles."""

import copy
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from feast import FeatureView
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.file_source import FileSource
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.stores.spark.instants import pruned, utc


def readable(source: DataSource, spark: SparkSession, repo_path: Path | None) -> DataSource:
    """The source in a form that Feast's Spark store reads; one that is no file, as it is.

    A `FileSource` is a Parquet file, or a folder of any depth with partitions ``name=value``. It becomes a temporary
    view, read afresh at each call, with the columns of all its files: an older one may lack a column.

    Args:
        source: Of a feature view or a saved dataset.
        spark: Where the view is made.
        repo_path: From where a relative path counts.

    Raises:
        ValueError: the files are not Parquet, or lie behind an endpoint that Spark does not know of.
        AnalysisException: there are none.
    """
    if not isinstance(source, FileSource):
        return source
    path = parquet_path(source, repo_path)
    view = f"feast_file_{sha256(path.encode()).hexdigest()[:32]}"
    spark.read.option("mergeSchema", "true").parquet(path).createOrReplaceTempView(view)
    return _spark_source(source, table=view)


def writable(source: DataSource, repo_path: Path | None) -> DataSource:
    """The same in a form that Feast's Spark store appends to."""
    if not isinstance(source, FileSource):
        return source
    return _spark_source(source, path=parquet_path(source, repo_path), file_format="parquet")


def in_period(
    rows: DataFrame, source: DataSource, timestamp: str, first: datetime | None, last: datetime
) -> DataFrame:
    """The rows from ``first`` to ``last``, both included; ``None`` is open, and naive ones are UTC.

    Args:
        rows: Of the source.
        source: One of Spark's may name a column of days by which its partitions can be left out.
        timestamp: The column of events.
        first: The first instant.
        last: The last instant.
    """
    kept = pruned(rows, timestamp, first, last)
    if not (isinstance(source, SparkSource) and source.date_partition_column):
        return kept
    partition, day = source.date_partition_column, source.date_partition_column_format
    if not day:
        return kept
    if first is not None:
        kept = kept.where(F.col(partition) >= utc(first).strftime(day))
    return kept.where(F.col(partition) <= utc(last).strftime(day))


def over(view: FeatureView, source: DataSource) -> FeatureView:
    """A copy of the view over another batch source."""
    if source is view.batch_source:
        return view
    moved = copy.copy(view)
    moved.batch_source = source
    return moved


def parquet_path(source: FileSource, repo_path: Path | None) -> str:
    """Where its files are, as Spark writes it.

    Raises:
        ValueError: they are not Parquet, or lie behind an endpoint that Spark does not know of.
    """
    if not isinstance(source.file_format, ParquetFormat | None):
        raise ValueError(
            f"file source {source.name!r}: the Spark store reads Parquet files only; use a SparkSource"
        )
    if source.s3_endpoint_override:
        raise ValueError(
            f"file source {source.name!r}: Spark takes no endpoint from a source; set spark.hadoop.fs.s3a.endpoint in "
            "the store's spark_conf, and no s3_endpoint_override here"
        )
    path = FileSource.get_uri_for_file_path(repo_path, source.path)
    return f"s3a://{path.removeprefix('s3://')}" if path.startswith("s3://") else path


def _spark_source(
    source: FileSource, *, table: str | None = None, path: str | None = None, file_format: str | None = None
) -> SparkSource:
    return SparkSource(
        name=source.name,
        table=table,
        path=path,
        file_format=file_format,
        timestamp_field=source.timestamp_field,
        created_timestamp_column=source.created_timestamp_column,
        field_mapping=source.field_mapping,
        description=source.description,
        tags=source.tags,
        owner=source.owner,
    )
