"""The caller's entity rows as a Spark data frame; and the rows that the sources have, where there is no caller's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

import numpy as np
import pandas as pd
import pyarrow as pa
from feast.errors import EntityTimestampInferenceException
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_schema

from feature_repo.stores import period
from feature_repo.stores.entity_rows import EntityRows
from feature_repo.stores.spark.asof import FeatureRows
from feature_repo.stores.spark.instants import microseconds

POSITION = "__asof_position"
"""The place of a row in the caller's table, from 0."""


@dataclass(frozen=True)
class SparkEntityRows:
    """Rows for which features are wanted.

    Args:
        frame: Their columns; `POSITION` last, where the caller's rows have an order.
        timestamp: The column that has the instants.
        first: The first instant; of no rows, ``None``.
        last: The last instant.
        table: The caller's rows, where they have an order.
    """

    frame: DataFrame
    timestamp: str
    first: datetime | None
    last: datetime | None
    table: pa.Table | None = None

    @classmethod
    def of(cls, spark: SparkSession, rows: pd.DataFrame | pa.Table | DataFrame | str) -> "SparkEntityRows":
        """Take a table of the driver's, a Spark data frame, or a query in Spark's SQL.

        Of the last two, one job finds the first and the last instant: they bound what is read of the features.

        Raises:
            EntityTimestampInferenceException: no column ``event_timestamp``, nor exactly one of timestamps.
            TypeError: the instants are none.
        """
        if isinstance(rows, str):
            return cls._of_frame(spark.sql(rows))
        if isinstance(rows, DataFrame):
            return cls._of_frame(rows)
        return cls._of_table(spark, EntityRows.of(rows))

    @classmethod
    def _of_frame(cls, frame: DataFrame) -> "SparkEntityRows":
        timestamp = _timestamp_column(frame.schema)
        return cls(frame, timestamp, *_bounds(frame, timestamp))

    @classmethod
    def _of_table(cls, spark: SparkSession, rows: EntityRows) -> "SparkEntityRows":
        at = rows.table.schema.get_field_index(rows.timestamp)
        instants = rows.instants().cast(pa.timestamp("us", "UTC"))
        table = rows.table.set_column(at, rows.timestamp, instants)
        table = table.append_column(POSITION, pa.array(np.arange(table.num_rows)))
        for number, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):  # pandas' categories, which Spark does not take
                table = table.set_column(number, field.name, table.column(number).cast(field.type.value_type))
        schema = from_arrow_schema(table.schema, prefer_timestamp_ntz=True)
        frame = spark.createDataFrame(table, schema)
        return cls(frame, rows.timestamp, *rows.bounds(), rows.table)

    @property
    def keys(self) -> list[str]:
        """All of the caller's columns but the instants."""
        return [name for name in self.frame.columns if name not in (self.timestamp, POSITION)]


def occurrences(views: Sequence[FeatureRows], start: datetime, end: datetime) -> SparkEntityRows:
    """Entity rows where there are none: every key and event timestamp that the views' sources have in the period.

    Args:
        views: They must have the same join keys.
        start: The first instant.
        end: The last instant.

    Raises:
        ValueError: the views have different keys.
    """
    if len({view.entity_keys for view in views}) > 1:
        listed = "; ".join(", ".join(view.entity_keys) for view in views)
        raise ValueError(f"the feature views have different join keys ({listed}): pass an entity_df")
    first, last = map(period.microseconds, (start, end))
    found = []
    for view in views:
        event = microseconds(view.rows, view.event_timestamp)
        keys = [F.col(column).alias(key) for key, column in view.keys]
        instant = F.timestamp_micros(event).alias(DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL)
        found.append(view.rows.where(event.between(first, last)).select(*keys, instant))
    distinct = reduce(DataFrame.unionByName, found).distinct()
    return SparkEntityRows(distinct, DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL, start, end)


def _timestamp_column(schema: T.StructType) -> str:
    found = [str(f.name) for f in schema if isinstance(f.dataType, T.TimestampType | T.TimestampNTZType)]
    default = str(DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL)
    if default in schema.fieldNames():
        return default
    if len(found) != 1:
        raise EntityTimestampInferenceException(default)
    return found[0]


def _bounds(frame: DataFrame, timestamp: str) -> tuple[datetime | None, datetime | None]:
    instant = microseconds(frame, timestamp)
    first, last = frame.agg(F.min(instant), F.max(instant)).collect()[0]
    return _instant(first), _instant(last)


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else period.EPOCH + timedelta(microseconds=micros)
