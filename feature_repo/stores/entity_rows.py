"""The caller's entity rows: kept as they are for the result, and reduced to keys and instants for the join."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.errors import EntityTimestampInferenceException, FeastEntityDFMissingColumnsError
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL

from feature_repo.stores.period import Period


@dataclass(frozen=True)
class EntityRows:
    """Rows for which features are wanted.

    Args:
        table: The caller's columns in the caller's order. Instants that were text are timestamps in UTC.
        timestamp: The column that has the instants.
    """

    table: pa.Table
    timestamp: str

    @classmethod
    def of(cls, rows: pd.DataFrame | pa.Table) -> "EntityRows":
        """Take a data frame (its index is dropped) or an Arrow table; neither is changed.

        Raises:
            EntityTimestampInferenceException: no column ``event_timestamp``, nor exactly one of timestamps.
            TypeError: the instants are none.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
        # Only what pandas needs to restore its own index; it would not fit the result.
        table = table.replace_schema_metadata(None)
        timestamp = _timestamp_column(table.schema)
        at = table.schema.get_field_index(timestamp)
        return cls(table.set_column(at, timestamp, _timestamps(table.column(at), timestamp)), timestamp)

    @property
    def keys(self) -> list[str]:
        """All columns but the instants."""
        return [name for name in self.table.column_names if name != self.timestamp]

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last instant; without any, ``None``."""
        bounds = pc.min_max(self.table.column(self.timestamp).cast(pa.timestamp("us", "UTC"), safe=False))
        return bounds["min"].as_py(), bounds["max"].as_py()

    def period(self) -> Period:
        """The same in microseconds."""
        bounds = pc.min_max(self.instants())
        return Period(bounds["min"].as_py(), bounds["max"].as_py())

    def instants(self) -> pa.ChunkedArray:
        """Int64 microseconds since 1970, rounded down; null stays null."""
        column = self.table.column(self.timestamp)
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if column.type.unit == "ns":
            column = pc.floor_temporal(column, unit="microsecond")
        return column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())

    def joinable(self, key_types: Mapping[str, Sequence[pa.DataType]]) -> pa.Table:
        """The columns of `feature_repo.stores.duckdb.asof_sql.ENTITY_ROWS`, keys in the order of ``key_types``.

        Args:
            key_types: The join keys, and the types that the feature views' sources hold them in.

        Raises:
            FeastEntityDFMissingColumnsError: a join key is missing.
            TypeError: a key is of another kind than a source's, such as text for an integer.
        """
        if missing := set(key_types) - set(self.table.column_names):
            raise FeastEntityDFMissingColumnsError(expected=set(key_types), missing=missing)
        columns = {"position": pa.array(np.arange(self.table.num_rows)), "instant": self.instants()}
        for number, (key, types) in enumerate(key_types.items()):
            column = self.table.column(key)
            for held in types:
                column = _comparable(column, held, key)
            columns[f"key_{number}"] = column
        return pa.table(columns)


def _timestamp_column(schema: pa.Schema) -> str:
    if DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL in schema.names:
        return str(DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL)
    candidates = [str(field.name) for field in schema if pa.types.is_timestamp(field.type)]
    if len(candidates) != 1:
        raise EntityTimestampInferenceException(DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL)
    return candidates[0]


def _timestamps(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    held = column.type
    if pa.types.is_timestamp(held) or pa.types.is_date(held):
        return column
    if pa.types.is_null(held):
        return column.cast(pa.timestamp("us", "UTC"))
    if pa.types.is_string(held) or pa.types.is_large_string(held):
        parsed = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
        return pa.chunked_array([pa.array(parsed)])
    raise TypeError(f"entity rows: column {name!r} is {held}, not timestamps or ISO 8601 text")


def _comparable(column: pa.ChunkedArray, held: pa.DataType, key: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return column.cast(held)
    if pa.types.is_floating(column.type) and pa.types.is_integer(held):
        column = _whole(column, key)  # integers with a null among them, as pandas keeps them
    if _kind(column.type) != _kind(held):
        raise TypeError(
            f"entity rows: join key {key!r} is {column.type}, while the feature views' sources hold {held}; "
            "convert one of the two"
        )
    return column


def _whole(column: pa.ChunkedArray, key: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise TypeError(
            f"entity rows: join key {key!r} has fractions, but the sources hold integers"
        ) from error


def _kind(held: pa.DataType) -> str:
    if pa.types.is_integer(held):
        return "integer"
    if pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held):
        return "text"
    if pa.types.is_floating(held) or pa.types.is_decimal(held):
        return "number"
    if pa.types.is_timestamp(held) or pa.types.is_date(held):
        return "time"
    if pa.types.is_binary(held) or pa.types.is_large_binary(held):
        return "bytes"
    return str(held)
