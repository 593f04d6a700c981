"""Group commit: many callers' rows in one write, many writes in one sync (D. DeWitt et al., SIGMOD 1984).

Two threads. The *writer* takes all that waits and hands it to the kernel at once; the *syncer* follows it, so
that a sync of some milliseconds holds up no write. What the disk refuses is kept and tried again, in order.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate

import pyarrow as pa

from feature_repo.errors import RecommendError
from serving.event_log.segment import Segment
from serving.event_log.settings import Settings
from serving.faults import Faults
from serving.metrics import LOG_ROWS, Children

PART = "the event log"
WRITER = "log-writer"
"""Name of the thread that answers wait for."""
_GROUP_BYTES = 8 << 20
_CLOSE_SECONDS = 5.0
_ROWS = Children(LOG_ROWS)

logger = logging.getLogger("bentoml.recommend")


def _uncancellable() -> "Future[bool]":
    """A caller that goes away must not take the future from those who wait for the same rows."""
    future: Future[bool] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(frozen=True, eq=False)
class Entry:
    """Rows of one caller on their way to the disk.

    Args:
        table: Name of the table.
        schema: Schema of the rows.
        message: The rows as an encapsulated Arrow IPC message.
        rows: How many.
        synced: Whether the caller waits for the sync, not only for the write.
        kept: Whether to try again where the disk refuses; else the caller is told, and sends them again.
        offered: When they came, by ``time.monotonic``.
        done: Becomes True once they are written, or synced; False where they never will be.
    """

    table: str
    schema: pa.Schema
    message: memoryview
    rows: int
    synced: bool
    kept: bool
    offered: float = field(default_factory=time.monotonic)
    done: "Future[bool]" = field(default_factory=_uncancellable)


@dataclass(frozen=True)
class _Written:
    """A segment that entries were written to; ``last`` where nothing more will be."""

    segment: Segment
    waiting: Sequence[Entry]
    last: bool = False


class GroupCommit:
    """Writes entries in their order. ``append`` may be called by any thread."""

    def __init__(
        self,
        settings: Settings,
        faults: Faults,
        open_segment: Callable[[], Segment],
        hand_over: Callable[[Segment], None],
    ) -> None:
        """Start the threads.

        Args:
            settings: The bounds.
            faults: Where a disk that refuses is reported.
            open_segment: Makes the next segment; called by the writer.
            hand_over: Takes a segment that is synced and written to no more; called by the syncer.
        """
        self._settings, self._faults = settings, faults
        self._open_segment, self._hand_over = open_segment, hand_over
        self.rotate_seconds = settings.rotate_seconds
        """For how long a segment is written to; may be changed at any time."""
        self._offered: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._written: queue.SimpleQueue[_Written | None] = queue.SimpleQueue()
        self._segment: Segment | None = None
        self._opened = 0.0
        self._pending: list[Entry] = []
        self._retry_at: float | None = None
        self._accounts = threading.Lock()
        self._waiting_bytes = self._waiting_rows = self._dropped_rows = 0
        self._writer = threading.Thread(target=self._write_all, name=WRITER, daemon=True)
        self._syncer = threading.Thread(target=self._sync_all, name="log-syncer", daemon=True)
        self._writer.start()
        self._syncer.start()

    @property
    def refused(self) -> bool:
        """Whether the disk refused the latest write."""
        return self._retry_at is not None

    @property
    def waiting_rows(self) -> int:
        """Rows in memory that are not written yet."""
        return self._waiting_rows

    @property
    def dropped_rows(self) -> int:
        """Rows that were given up since the start."""
        return self._dropped_rows

    def append(self, entry: Entry) -> None:
        """Queue an entry; where too much waits already, it is dropped at once, and is done by False."""
        with self._accounts:
            full = self._waiting_bytes + len(entry.message) > self._settings.backlog_bytes
            if not full:
                self._waiting_bytes += len(entry.message)
                self._waiting_rows += entry.rows
        if full:
            self._faults.report(
                PART, RecommendError("more rows wait than memory is given: is the disk full?")
            )
            self._drop(entry)
        else:
            self._offered.put(entry)

    def close(self) -> None:
        """Write and sync what waits, hand over the last segment, and stop; what the disk refuses is dropped."""
        self._offered.put(None)
        self._writer.join(_CLOSE_SECONDS)
        self._syncer.join(_CLOSE_SECONDS)
        if self._writer.is_alive() or self._syncer.is_alive():
            logger.error("the disk of the event log hangs: %d rows were not written", self._waiting_rows)

    def _write_all(self) -> None:
        open_ = True
        while open_:
            arrived, open_ = self._arrived()
            self._pending += arrived
            if not open_ or self._retry_at is None or self._retry_at <= time.monotonic():
                self._write_pending(last_try=not open_)
            if self._segment is not None and (not open_ or self._is_due(self._segment)):
                self._written.put(_Written(self._segment, (), last=True))
                self._segment = None
        self._written.put(None)

    def _arrived(self) -> tuple[list[Entry], bool]:
        """All that is offered, after waiting for something to do; and whether more may come."""
        group: list[Entry] = []
        size = 0
        try:
            entry = self._offered.get(timeout=self._patience())
            while entry is not None:
                group.append(entry)
                size += len(entry.message)
                if size > _GROUP_BYTES:
                    return group, True
                entry = self._offered.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _patience(self) -> float | None:
        """Seconds until the writer has something to do by itself; None where it has not."""
        now = time.monotonic()
        if self._retry_at is not None:
            return max(self._retry_at - now, 0.0)
        return None if self._segment is None else max(self._opened + self.rotate_seconds - now, 0.0)

    def _is_due(self, segment: Segment) -> bool:
        age = time.monotonic() - self._opened
        return age >= self.rotate_seconds or segment.size >= self._settings.segment_bytes or segment.broken

    def _write_pending(self, last_try: bool) -> None:
        try:
            while self._pending:
                group = self._pending[: self._group_length()]
                self._write(group)
                del self._pending[: len(group)]
                for entry in group:
                    self._account_for(entry)
                self._retry_at = None
                self._faults.working(PART)
        except OSError as error:
            self._faults.report(PART, error)
            self._refuse(last_try)

    def _group_length(self) -> int:
        sizes = accumulate(len(entry.message) for entry in self._pending)
        return 1 + sum(1 for size in sizes if size <= _GROUP_BYTES)

    def _write(self, group: Sequence[Entry]) -> None:
        segment = self._segment
        if segment is None or segment.broken:
            segment, self._opened = self._next_segment(), time.monotonic()
        segment.write(group)
        waiting = [entry for entry in group if entry.synced]
        if waiting or not segment.unsynced:
            segment.unsynced = True
            self._written.put(_Written(segment, waiting))

    def _next_segment(self) -> Segment:
        if self._segment is not None:
            self._written.put(_Written(self._segment, (), last=True))
        self._segment = None
        self._segment = self._open_segment()
        return self._segment

    def _account_for(self, entry: Entry) -> None:
        self._forget(entry)
        _ROWS[entry.table, "written"].inc(entry.rows)
        if not entry.synced:
            self._acknowledge(entry)

    def _acknowledge(self, entry: Entry) -> None:
        if entry.kept and time.monotonic() - entry.offered > self._settings.budget:
            _ROWS[entry.table, "late"].inc(entry.rows)
        entry.done.set_result(True)

    def _refuse(self, last_try: bool) -> None:
        refused = [entry for entry in self._pending if last_try or not entry.kept]
        self._pending = [entry for entry in self._pending if entry.kept and not last_try]
        self._retry_at = time.monotonic() + self._settings.retry_seconds
        for entry in refused:
            self._forget(entry)
            self._drop(entry)

    def _forget(self, entry: Entry) -> None:
        with self._accounts:
            self._waiting_bytes -= len(entry.message)
            self._waiting_rows -= entry.rows

    def _drop(self, entry: Entry) -> None:
        with self._accounts:
            self._dropped_rows += entry.rows
        _ROWS[entry.table, "dropped"].inc(entry.rows)
        entry.done.set_result(False)

    def _sync_all(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._to_sync()
            for segment in dict.fromkeys(written.segment for written in batch):
                of_segment = [written for written in batch if written.segment is segment]
                self._sync(segment, [entry for written in of_segment for entry in written.waiting])
                if of_segment[-1].last:
                    self._hand_over(segment)

    def _to_sync(self) -> tuple[list[_Written], bool]:
        """What was written until somebody waits for it, or has for `sync_seconds`; and whether more may come."""
        batch: list[_Written] = []
        for written in self._until_due():
            if written is None:
                return batch, False
            batch.append(written)
        return batch, True

    def _until_due(self) -> Iterator[_Written | None]:
        written = self._written.get()
        yield written
        due = time.monotonic() + self._settings.sync_seconds
        urgent = written is None or written.last or bool(written.waiting)
        while written is not None:
            patience = 0.0 if urgent else max(due - time.monotonic(), 0.0)
            try:
                written = self._written.get(timeout=patience) if patience else self._written.get_nowait()
            except queue.Empty:
                return
            urgent = urgent or written is None or written.last or bool(written.waiting)
            yield written

    def _sync(self, segment: Segment, waiting: Sequence[Entry]) -> None:
        try:
            segment.sync()
        except OSError as error:
            # After a failed sync nobody can tell what reached the disk: nothing more is written to that file.
            segment.broken = True
            self._faults.report(PART, error)
        for entry in waiting:
            if segment.broken:
                self._drop(entry)
            else:
                self._acknowledge(entry)
