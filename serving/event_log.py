"""The log of what was served and what came of it: day-partitioned Parquet, written behind the answer.

An answer puts its rows into a bounded queue and goes on; one thread writes them within a second, or a thousand
rows, under a draft's name that no reader looks at, and renames. A regular stop (SIGTERM) writes what is queued.
A ``kill -9`` or a power cut can lose up to the last second: the durable log of a later release ends that. Rows
that could not be logged, as the queue or the disk was full, are counted and reported, never waited for.
"""

import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.clock import now
from feature_repo.errors import RecommendError
from feature_repo.events import EventTable
from serving.faults import Faults
from serving.metrics import LOG_ROWS

FLUSH_SECONDS, FLUSH_ROWS, QUEUED_BATCHES = 1.0, 1000, 2000

Row = Mapping[str, Any]
"""One row of an event table, by column name; ``event_timestamp`` is a datetime in UTC."""


@dataclass(frozen=True)
class _Batch:
    table: EventTable
    rows: Sequence[Row]


class EventLog:
    """An appender for event tables; ``offer`` may be called by any thread."""

    def __init__(self, root: Path, faults: Faults) -> None:
        """Start the writer; ``root`` is the folder of the tables, made when first written to."""
        self._root, self._faults = root, faults
        self._worker = f"{now():%Y%m%dT%H%M%S}-{os.getpid()}"
        self._files = 0
        self._queue: queue.Queue[_Batch | None] = queue.Queue(QUEUED_BATCHES)
        self._writer = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._writer.start()

    def offer(self, table: EventTable, rows: Sequence[Row]) -> bool:
        """Queue rows; False, at once, where the queue is full and they are dropped."""
        try:
            self._queue.put_nowait(_Batch(table, rows))
        except queue.Full:
            LOG_ROWS.labels(table.name, "dropped").inc(len(rows))
            self._faults.report(
                "the event log",
                RecommendError(f"its queue is full, {table.name} are dropped: is {self._root} slow or full?"),
            )
            return False
        return True

    def close(self) -> None:
        """Write what is queued, and stop."""
        self._queue.put(None)
        self._writer.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            batches, open_ = self._collect()
            pending: dict[tuple[str, date], list[Row]] = defaultdict(list)
            tables = {batch.table.name: batch.table for batch in batches}
            for batch in batches:
                for row in batch.rows:
                    pending[batch.table.name, row["event_timestamp"].date()].append(row)
            for (name, day), rows in pending.items():
                self._append(tables[name], day, rows)

    def _collect(self) -> tuple[list[_Batch], bool]:
        """What came in within `FLUSH_SECONDS`, or `FLUSH_ROWS`; and whether more may come."""
        batches: list[_Batch] = []
        rows, until = 0, time.monotonic() + FLUSH_SECONDS
        while rows < FLUSH_ROWS and (left := until - time.monotonic()) > 0:
            try:
                batch = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if batch is None:
                return batches, False
            batches.append(batch)
            rows += len(batch.rows)
        return batches, True

    def _append(self, table: EventTable, day: date, rows: Sequence[Row]) -> None:
        result = "failed"
        with self._faults.watch("the event log"):
            folder = self._root / table.name / f"day={day}"
            name = f"{self._worker}-{self._files}.parquet"
            draft = folder / f".{name}.draft"
            self._files += 1
            folder.mkdir(parents=True, exist_ok=True)
            try:
                pq.write_table(pa.Table.from_pylist(list(rows), schema=table.schema), draft)
                draft.replace(folder / name)
            finally:
                draft.unlink(missing_ok=True)
            result = "written"
        LOG_ROWS.labels(table.name, result).inc(len(rows))
