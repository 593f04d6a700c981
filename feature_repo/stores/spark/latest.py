"""The latest row of every key, in Spark: what materialization writes."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.stores.spark.packed_columns import PackedColumns


def latest(
    rows: DataFrame, keys: Sequence[str], features: Sequence[str], event_timestamp: str, created: str | None
) -> DataFrame:
    """By the rule of the as-of join, so that both stores write the same row.

    Args:
        rows: Of the source, in the period.
        keys: Columns that make a key; without any, one row is the latest. A null key is a key here.
        features: Columns that decide between rows with equal keys, event and created: the greatest values win,
            compared in the order of the columns' names (null is the least, NaN the greatest).
        event_timestamp: The greatest wins.
        created: Then the greatest of these, where there are any; null is the least.

    Returns:
        The rows' columns, a row a key.
    """
    times = [F.col(column).desc_nulls_last() for column in (event_timestamp, created) if column]
    ties = [pack.desc_nulls_last() for pack in PackedColumns.of(rows.schema, sorted(features)).columns()]
    by_key = Window.partitionBy(*keys).orderBy(*times, *ties)
    place = "__latest_place"
    return rows.withColumn(place, F.row_number().over(by_key)).where(F.col(place) == 1).drop(place)
