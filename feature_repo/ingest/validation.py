"""Which rows cannot be read, and why. Pure: no file, no vault."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.clock import EARLIEST
from feature_repo.events import ID, EventTable

MAX_ID_BYTES = 512
"""An id that is longer is text that got into the wrong column."""


def reasons(
    table: EventTable, rows: pa.RecordBatch, as_of: datetime, unlisted: Mapping[str, pa.Array]
) -> pa.Array:
    """Why each row cannot be read; strings ``[len(rows)]``, null where it can.

    Args:
        table: The event table that the rows are for.
        rows: In ``raw_schema(table)``; a reason that the reader gave comes first.
        as_of: The present instant; a later row is in the future.
        unlisted: By column name, booleans ``[len(rows)]``: the id is in no list that it should be in.
    """
    found = rows["_reason"]
    for bad, reason in _checks(table, rows, as_of, unlisted):
        found = pc.coalesce(found, pc.if_else(pc.fill_null(bad, False), reason, pa.scalar(None, pa.string())))
    return found


def _checks(
    table: EventTable, rows: pa.RecordBatch, as_of: datetime, unlisted: Mapping[str, pa.Array]
) -> Iterator[tuple[pa.Array, str]]:
    for field in table.schema:
        if field.name == "workspace_id":
            continue
        if not field.nullable:
            yield pc.is_null(rows[field.name]), f"{field.name} has no value"
        if field.type == ID:
            size = pc.binary_length(rows[field.name])
            yield pc.equal(size, 0), f"{field.name} has no value"
            yield pc.greater(size, MAX_ID_BYTES), f"{field.name} is longer than {MAX_ID_BYTES} bytes"
    instants = rows["event_timestamp"]
    yield (
        pc.less(instants, pa.scalar(EARLIEST, instants.type)),
        f"event_timestamp lies before {EARLIEST:%Y-%m-%d}",
    )
    yield pc.greater(instants, pa.scalar(as_of, instants.type)), "event_timestamp lies in the future"
    for name, bad in unlisted.items():
        yield bad, f"{name} is in no list"
