"""Arrays to event tables: of indices as the world goes by, of ids as a company writes them in the files."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_repo.chat.sample.rhythm import DAY
from feature_repo.events import ID, TIMESTAMP, Column, EventTable

Batch: TypeAlias = Mapping[str, pa.Table]
"""Some of the rows of event tables, by the table's name."""
Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""The values of a table's columns, by name."""

_EPOCH_DAY: Final = date(1970, 1, 1)
_PREFIXES: Final = {"message_id": "M", "thread_id": "T"}
_DIGITS: Final = {"U": 4, "C": 4, "D": 4, "M": 8, "T": 8}


def instant_of(day: date) -> int:
    """Midnight (UTC) of a day, µs since 1970."""
    return (day - _EPOCH_DAY).days * DAY


def event_rows(table: EventTable, start: date, instants: NDArray[np.int64], columns: Columns) -> pa.Table:
    """The rows of an event table in order of time, with indices for ids and without the workspace.

    Args:
        table: What the columns are.
        start: The day from whose midnight the instants count.
        instants: When each row happened, µs.
        columns: Values by column, each of the shape of ``instants``. A negative optional id is a null.
    """
    order = np.argsort(instants, kind="stable")
    microseconds = instants[order] + instant_of(start)
    arrays = [pa.array(microseconds, pa.int64()).cast(TIMESTAMP)]
    for column in table.columns:
        values = np.asarray(columns[column.name])[order]
        absent = values < 0 if column.optional and column.type == ID else None
        arrays.append(pa.array(values, column.type, mask=absent))
    return pa.table(arrays, schema=_without_workspace(table.schema))


def export_schema(table: EventTable) -> pa.Schema:
    """The schema of the table in an export: the event table's own, without workspace, ids being strings."""
    fields = _without_workspace(table.schema)
    return pa.schema([f.with_type(pa.string()) if f.type == ID else f for f in fields])


def export_rows(table: EventTable, rows: pa.Table, founded: int) -> pa.Table:
    """The same rows with ``U0001`` for user 0, ``C0001`` for channel 0, ``M00000001`` for message 1, and so on.

    ``founded`` is the number of channels that people found: from that index on they are conversations (``D``).
    """
    arrays = [rows["event_timestamp"]]
    for column in table.columns:
        values = rows[column.name]
        arrays.append(_raw_ids(column, values, founded) if column.type == ID else values)
    return pa.table(arrays, schema=export_schema(table))


def _raw_ids(column: Column, indices: pa.ChunkedArray, founded: int) -> pa.ChunkedArray:
    if column.identity == "user":
        return _numbered("U", pc.add(indices, 1))
    if column.identity == "channel":
        number = pc.add(indices, 1)
        return pc.if_else(pc.less(indices, founded), _numbered("C", number), _numbered("D", number))
    return _numbered(_PREFIXES[column.name], indices)


def _numbered(prefix: str, number: pa.ChunkedArray) -> pa.ChunkedArray:
    digits = pc.utf8_lpad(number.cast(pa.string()), _DIGITS[prefix], "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _without_workspace(schema: pa.Schema) -> pa.Schema:
    return schema.remove(schema.get_field_index("workspace_id"))
