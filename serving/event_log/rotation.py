"""Rotation: the rows of closed segments go into the Parquet files of their days, then the segment goes.

A crash anywhere between leaves the segment, and whoever recovers it later does the same again: `DayFiles` adds
nothing twice. The segments of a worker are rotated strictly in their order.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from serving.event_log.day_files import DayFiles
from serving.event_log.segment import Segment, segments_in
from serving.event_log.settings import Settings
from serving.event_log.worker_folder import WorkerFolder
from serving.faults import Faults
from serving.metrics import LOG_TORN_BYTES

PART, RECOVERY = "the event log's Parquet files", "the event log's recovery"

logger = logging.getLogger("bentoml.recommend")


def rotate(segment: Segment, files: DayFiles) -> None:
    """Move the rows of a segment into ``files``, and delete it.

    Raises:
        OSError: the disk is full or broken; the segment is as it was.
        RecommendError: the segment was written by another version.
    """
    contents = segment.read()
    if contents.torn_bytes:
        LOG_TORN_BYTES.inc(contents.torn_bytes)
        logger.warning(
            "%s ends in a write that was cut: %d bytes left out", segment.path, contents.torn_bytes
        )
    for table, rows in contents.tables.items():
        files.append(table, rows, segment.number)
    segment.path.unlink(missing_ok=True)


def recover(root: Path, segments: Path, settings: Settings, faults: Faults) -> None:
    """Rotate what processes left behind that are dead; what cannot be rotated now is reported, and stays.

    Args:
        root: The log's folder.
        segments: The folder of the workers' folders.
        settings: The sizes.
        faults: Where the reason is reported.
    """
    whole = True
    for path in sorted(segments.glob("*")):
        try:
            folder = WorkerFolder.take(path)
            if folder is not None:
                _recover(folder, DayFiles(root, folder.name))
        except Exception as error:
            # One folder that is damaged must not keep the others from their place.
            faults.report(RECOVERY, error)
            whole = False
    if whole:
        faults.working(RECOVERY)


class Rotation:
    """A thread that rotates the segments of this process, and now and then recovers those of others."""

    def __init__(
        self,
        root: Path,
        segments: Path,
        settings: Settings,
        faults: Faults,
        slow_down: Callable[[float], None],
    ) -> None:
        """Start the thread; arguments as of `recover`.

        Args:
            slow_down: Told after each rotation how many seconds a segment should be written to.
        """
        self._root, self._segments, self._settings, self._faults = root, segments, settings, faults
        self._slow_down = slow_down
        self._closed: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._files: dict[str, DayFiles] = {}
        self._thread = threading.Thread(target=self._run, name="log-rotation", daemon=True)
        self._thread.start()

    def take(self, segment: Segment) -> None:
        """Rotate a segment that is written to no more."""
        self._closed.put(segment)

    def close(self) -> None:
        """Rotate what was taken, trying each once, and stop; the next start recovers what is left."""
        self._stopping.set()
        self._closed.put(None)
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + self._settings.recover_seconds
        while True:
            if time.monotonic() >= due:
                recover(self._root, self._segments, self._settings, self._faults)
                due = time.monotonic() + self._settings.recover_seconds
            try:
                segment = self._closed.get(timeout=max(due - time.monotonic(), 0.0))
            except queue.Empty:
                continue
            if segment is None or not self._rotated(segment):
                return

    def _rotated(self, segment: Segment) -> bool:
        """Rotate it, however long that takes; False where the process stops before it could be done."""
        files = self._files.setdefault(segment.worker, DayFiles(self._root, segment.worker))
        while True:
            started = time.thread_time()  # of the core, not of a disk that is slow
            with self._faults.watch(PART):
                rotate(segment, files)
                segment.close()
                # Arrow would keep the memory of the largest segment for this thread, idle most of the time.
                pa.default_memory_pool().release_unused()
                took = time.thread_time() - started
                self._slow_down(max(self._wanted(files), took / self._settings.rotate_share))
                return True
            if self._stopping.wait(self._settings.retry_seconds):
                return False

    def _wanted(self, files: DayFiles) -> float:
        return self._settings.rotate_seconds * (1 + self._settings.rotate_growth * files.in_day)


def _recover(folder: WorkerFolder, files: DayFiles) -> None:
    try:
        for path in segments_in(folder.path):
            segment = Segment.open(path)
            try:
                rotate(segment, files)
            finally:
                segment.close()
    except BaseException:
        folder.release()
        raise
    folder.remove()
