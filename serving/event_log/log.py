"""The event log, whole: append, wait, close."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa

from feature_repo.events import EventTable
from serving.event_log.group_commit import Entry, GroupCommit
from serving.event_log.recent import recent_rows
from serving.event_log.rotation import Rotation, recover
from serving.event_log.segment import Segment, segments_in
from serving.event_log.settings import Settings
from serving.event_log.worker_folder import WorkerFolder
from serving.faults import Faults

SEGMENTS = "wal"


class EventLog:
    """An appender for event tables; its methods may be called by any thread. See the package for what it promises."""

    def __init__(self, root: Path, faults: Faults, settings: Settings | None = None) -> None:
        """Recover what dead processes left, and start.

        Args:
            root: The folder of the tables, made when first written to. Several processes may share it, on one
                machine.
            faults: Where a full or broken disk is reported; it never raises.
            settings: Default: `Settings.from_environment`.

        Raises:
            RecommendError: a setting in the environment is wrong.
        """
        self._settings = settings or Settings.from_environment()
        self._root, self._segments = root, root / SEGMENTS
        self._folder: WorkerFolder | None = None
        self._opened = 0
        self._latest: Future[bool] = Future()
        self._latest.set_result(True)
        recover(root, self._segments, self._settings, faults)
        self._rotation = Rotation(root, self._segments, self._settings, faults, self._write_longer)
        self._commit = GroupCommit(self._settings, faults, self._open_segment, self._rotation.take)

    @property
    def unlogged_rows(self) -> int:
        """Rows given up since the start."""
        return self._commit.dropped_rows

    @property
    def waiting_rows(self) -> int:
        """Rows in memory that the disk has not taken yet."""
        return self._commit.waiting_rows

    def append(self, table: EventTable, rows: pa.RecordBatch) -> "Future[bool]":
        """Append impressions, or what else its sender does not send again.

        Returns:
            Becomes True once the rows are written (with ``sync_answers``: synced). Where the disk refuses them
            they are kept and tried again; False where they were given up, as too many wait already.
        """
        entry = _entry(table, rows, synced=self._settings.sync_answers, kept=True)
        self._latest = entry.done
        self._commit.append(entry)
        return entry.done

    def append_synced(self, table: EventTable, rows: pa.RecordBatch) -> "Future[bool]":
        """Append outcomes, or what else its sender sends again unless it is told that they are safe.

        Returns:
            Becomes True once the rows are synced; False where they are not in the log, or may not be.
        """
        entry = _entry(table, rows, synced=True, kept=False)
        self._commit.append(entry)
        return entry.done

    def recent_rows(self, table: EventTable, columns: Sequence[str], most: int) -> pa.Table:
        """The rows that were logged last, by any process; see `recent.recent_rows`."""
        return recent_rows(self._root / table.name, table.schema, columns, most)

    async def settled(self, most: float = float("inf")) -> None:
        """Return when all that `append` was given is written (or synced); within the budget, and ``most`` seconds, in
        any case.

        A disk that is known to refuse is not waited for.
        """
        latest = self._latest
        if not latest.done() and not self._commit.refused:
            patience = max(min(self._settings.budget, most), 0.0)
            await asyncio.wait({asyncio.wrap_future(latest)}, timeout=patience)

    async def synced(self, done: "Future[bool]") -> bool:
        """What `append_synced` answered becomes; False where the disk takes too long to say so."""
        if not done.done():
            await asyncio.wait({asyncio.wrap_future(done)}, timeout=self._settings.outcome_budget)
        return done.done() and done.result()

    def close(self) -> None:
        """Write what waits, turn it into Parquet, and stop."""
        self._commit.close()
        self._rotation.close()
        if self._folder is not None:
            if segments_in(self._folder.path):
                self._folder.release()
            else:
                self._folder.remove()
            self._folder = None

    def _open_segment(self) -> Segment:
        if self._folder is None or not self._folder.path.exists():
            self._folder = WorkerFolder.create(self._segments)
        self._opened += 1
        return Segment.create(self._folder.path, self._opened)

    def _write_longer(self, seconds: float) -> None:
        self._commit.rotate_seconds = seconds


def _entry(table: EventTable, rows: pa.RecordBatch, *, synced: bool, kept: bool) -> Entry:
    return Entry(table.name, rows.schema, memoryview(rows.serialize()), rows.num_rows, synced, kept)
