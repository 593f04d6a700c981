"""Rows on their way in: still with the caller's own ids, each with the place it came from. Domain-free.

What is defined here lives in memory only; nothing of it reaches the disk before ``encoding`` made ints of the ids.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from feature_repo.events import ID, EventTable

PROVENANCE = pa.schema(
    [
        pa.field("_file", pa.int32()),
        pa.field("_day", pa.date32()),
        pa.field("_line", pa.int64()),
        pa.field("_reason", pa.string()),
    ]
)
"""Where a row came from, and why it cannot be read (null: it can)."""

_ROWS_PER_BATCH = 20_000


class BadRow(Exception):
    """A row that cannot be read. The text is the reason; it never repeats a value of the row."""


@dataclass(frozen=True)
class Where:
    """A place in an export, told without any name that its files bear (those are content).

    Args:
        file: 1 for the first of the export's files in the order of their names.
        line: The line, row or array element in it, from 1; 0 for the file as a whole.
        day: The day that the file is for, in formats with one file a day.
    """

    file: int
    line: int
    day: date | None = None


@dataclass(frozen=True)
class Row:
    """One row of one event table, as a reader found it.

    Args:
        table: The event table it is for.
        where: Its place in the export.
        values: By column name: ids as the caller's own strings, ``event_timestamp`` as int microseconds
            since 1970 UTC; a missing name is a null.
        reason: Why it cannot be read; ``values`` are then ignored.
    """

    table: EventTable
    where: Where
    values: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A record of the export that is no event of any table, such as a changed channel topic."""


@dataclass(frozen=True)
class Batch:
    """Rows of one event table.

    Args:
        table: The event table.
        rows: In ``raw_schema(table)``.
        done: How much of the export has been read with it, from 0 to 1.
        skipped: Records passed over since the batch before.
    """

    table: EventTable
    rows: pa.RecordBatch
    done: float
    skipped: int = 0


def raw_schema(table: EventTable) -> pa.Schema:
    """Schema of rows on their way in: ids are strings, every column may be null, ``PROVENANCE`` at the end."""
    stored = (f for f in table.schema if f.name != "workspace_id")
    return pa.schema(
        [*(pa.field(f.name, pa.string() if f.type == ID else f.type) for f in stored), *PROVENANCE]
    )


def batches(events: Iterable[tuple[Row | Skipped, float]], size: int = _ROWS_PER_BATCH) -> Iterator[Batch]:
    """Gather rows into batches of at most ``size``, tables in the order in which they first appeared.

    Args:
        events: Each with the share of the export, 0 to 1, that has been read with it.
        size: How many rows, over all tables, are held at a time.
    """
    waiting: dict[str, list[Row]] = {}
    held = skipped = 0
    done = 0.0
    for event, done in events:
        if isinstance(event, Skipped):
            skipped += 1
            continue
        waiting.setdefault(event.table.name, []).append(event)
        held += 1
        if held >= size:
            yield from _flush(waiting, done, skipped)
            held = skipped = 0
    yield from _flush(waiting, done, skipped)


def _flush(waiting: dict[str, list[Row]], done: float, skipped: int) -> Iterator[Batch]:
    for rows in waiting.values():
        if rows:
            yield Batch(rows[0].table, _record_batch(rows), done, skipped)
            skipped = 0
            rows.clear()


def _record_batch(rows: list[Row]) -> pa.RecordBatch:
    schema = raw_schema(rows[0].table)
    readable = [{} if row.reason else row.values for row in rows]
    columns = [
        pa.array([v.get(f.name) for v in readable], f.type) for f in schema if f.name not in PROVENANCE.names
    ]
    provenance = (
        [row.where.file for row in rows],
        [row.where.day for row in rows],
        [row.where.line for row in rows],
        [row.reason for row in rows],
    )
    columns += [pa.array(values, f.type) for values, f in zip(provenance, PROVENANCE, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
