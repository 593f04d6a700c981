"""The Parquet files of the log: one folder per table and day, one file a segment, each row in exactly one.

A file is written beside its name and renamed, and never changed after that: DuckDB and Spark look at a file more than
once in one query, so that not even an atomic replacement is safe under them. A file says in its metadata through which
segment it holds the rows of its worker, so that a segment that is rotated again, after a crash, adds nothing twice.
"""

import json
import logging
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serving.event_log.segment import sync_folder

_THROUGH = b"recommend.through_segment"

logger = logging.getLogger("bentoml.recommend")


class DayFiles:
    """What one worker has written under the log's folder. For one thread."""

    def __init__(self, root: Path, worker: str) -> None:
        """Nothing is read before it is asked for."""
        self._root, self._worker = root, worker
        self._through: dict[Path, int] = {}
        self._files: dict[Path, int] = {}
        self.in_day = 0
        """How many files the fullest of those days has that rows were last added to; other workers' since this one
        began are not counted."""

    def append(self, table: str, rows: pa.Table, segment: int) -> None:
        """Add the rows of a segment, unless they were added before.

        The segments of a worker must come in their order, and each again until this has returned.

        Args:
            table: Name of the table.
            rows: All of the segment's rows of that table, of any days.
            segment: Number of the segment, from 1.

        Raises:
            OSError: the disk is full or broken; some of the days may have been added.
        """
        folders = {self._root / table / f"day={day}": of_day for day, of_day in _by_day(rows)}
        for folder, of_day in folders.items():
            try:
                self._append(folder, of_day, segment)
            except BaseException:
                # Whether the rename took place is to be seen from the file itself.
                self._through.pop(folder, None)
                raise
        self.in_day = max(self._files[folder] for folder in folders)

    def _append(self, folder: Path, rows: pa.Table, segment: int) -> None:
        if folder not in self._through:
            self._through[folder] = _through(folder, self._worker)
            self._files[folder] = sum(1 for _ in folder.glob("*.parquet"))
        if self._through[folder] >= segment:
            return
        path = folder / f"{self._worker}-{segment:08d}.parquet"
        _publish(path, rows.replace_schema_metadata({_THROUGH: json.dumps(segment)}))
        self._through[folder] = segment
        self._files[folder] += 1


def _by_day(rows: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    days = pc.cast(rows["event_timestamp"], pa.date32())
    distinct = pc.unique(days).to_pylist()
    for day in distinct:
        yield day, rows if len(distinct) == 1 else rows.filter(pc.equal(days, pa.scalar(day, pa.date32())))


def _through(folder: Path, worker: str) -> int:
    """The last segment of the worker that is in the folder; 0 for none."""
    for path in sorted(folder.glob(f"{worker}-*.parquet"), reverse=True):
        try:
            found: int = json.loads(pq.read_metadata(path).metadata[_THROUGH])
        except (pa.ArrowInvalid, KeyError):
            logger.error("%s is damaged, or was changed by another program: it is left alone", path)
        else:
            return found
    return 0


def _publish(path: Path, rows: pa.Table) -> None:
    """Write a file whole, or not at all, and return when it has reached the disk under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    texts = [column for field in rows.schema for column in _text_columns(field)]
    try:
        # Ids and feature values hardly repeat: a dictionary of them costs time and saves nothing.
        pq.write_table(rows, draft, use_dictionary=texts)
        _sync_file(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _text_columns(field: pa.Field) -> list[str]:
    """The Parquet columns, by their paths, that hold a field's texts."""
    if pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type):
        return [f"{field.name}.list.element"]
    return [field.name] if pa.types.is_string(field.type) else []


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
