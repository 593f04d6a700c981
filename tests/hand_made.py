"""Event tables and snapshots of offline tables written by hand: what ingest and Spark would have left behind."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.chat.events import CHANNELS, USERS
from feature_repo.events import EventTable
from feature_repo.home import events_path
from feature_repo.tables import partition

WORKSPACE = 1
Row = dict[str, Any]


def write_snapshot(table: str, at: datetime, columns: Mapping[str, Any]) -> None:
    """Rows of an offline table, dated ``at``, added to the snapshot of that day."""
    rows = len(next(iter(columns.values())))
    stamps = {"event_timestamp": [at] * rows, "created": [at] * rows}
    folder = partition(table, at.date())
    folder.mkdir(parents=True, exist_ok=True)
    written = pa.table({**columns, **stamps, "workspace_id": [WORKSPACE] * rows})
    pq.write_table(written, folder / f"{len(list(folder.iterdir()))}.parquet")


def write_events(table: EventTable, rows: Sequence[Row]) -> None:
    """Add rows to an event table: ``at`` is the event's instant, and columns that are left out are null."""
    whole = [{"workspace_id": WORKSPACE, "event_timestamp": row["at"], **row} for row in rows]
    for day in sorted({row["event_timestamp"].date() for row in whole}):
        folder = events_path() / table.name / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        of_day = [row for row in whole if row["event_timestamp"].date() == day]
        written = pa.Table.from_pylist(of_day, schema=table.schema)
        pq.write_table(written, folder / f"{len(list(folder.iterdir()))}.parquet")


def write_people(at: datetime, people: Sequence[int], bots: Sequence[int] = ()) -> None:
    """The profiles of people and bots."""
    write_events(USERS, [{"at": at, "user_id": u, "is_bot": u in bots} for u in (*people, *bots)])


def write_channels(at: datetime, kinds: Mapping[int, int]) -> None:
    """Channels, each with its kind."""
    write_events(CHANNELS, [{"at": at, "channel_id": c, "kind": kind} for c, kind in kinds.items()])
