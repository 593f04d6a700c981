"""One file of the write-ahead log: appended to by one process, read back when it is rotated or recovered."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import pyarrow as pa

from feature_repo.errors import RecommendError
from serving.event_log.frames import MAGIC, ROWS, SCHEMA, encode, whole_frames

_TABLE = b"table"
_SUFFIX = ".wal"


class Encoded(Protocol):
    """Rows of one table, ready to be written."""

    @property
    def table(self) -> str:
        """Name of the table."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""

    @property
    def message(self) -> memoryview:
        """The rows as an encapsulated Arrow IPC message."""


@dataclass(frozen=True)
class Contents:
    """What was read back.

    Args:
        tables: The rows by table, in the order in which they were written.
        torn_bytes: What follows the last whole frame; more than 0 where a write was cut.
    """

    tables: dict[str, pa.Table]
    torn_bytes: int


class Segment:
    """An open segment. Writing and syncing may be the work of two threads, each of one."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `create` or `open`."""
        self.path, self._descriptor = path, descriptor
        self.size = 0
        self.broken = False
        """Whether its end is in doubt, so that nothing more may be written to it."""
        self.unsynced = False
        """Whether a sync of what was written has been asked for and not begun."""
        self._schemas: dict[str, int] = {}
        self._entered = False

    @classmethod
    def create(cls, folder: Path, number: int) -> Self:
        """A new segment, empty.

        Raises:
            OSError: the folder takes no file.
        """
        path = folder / f"{number:08d}{_SUFFIX}"
        return cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600))

    @classmethod
    def open(cls, path: Path) -> Self:
        """A segment that another process left, to be read.

        Raises:
            OSError: it cannot be read.
        """
        return cls(path, os.open(path, os.O_RDONLY))

    @property
    def number(self) -> int:
        """Its place among the segments of its worker, from 1."""
        return int(self.path.stem)

    @property
    def worker(self) -> str:
        """Name of the process that wrote it."""
        return self.path.parent.name

    def write(self, rows: Sequence[Encoded]) -> None:
        """Append all of the rows by one ``write(2)``, or nothing.

        Raises:
            OSError: the disk is full, or broken.
        """
        schemas = dict(self._schemas)
        parts: list[bytes | memoryview] = [] if self.size else [MAGIC]
        for encoded in rows:
            if encoded.table not in schemas:
                schemas[encoded.table] = len(schemas)
                described = encoded.schema.with_metadata({_TABLE: encoded.table})
                parts += encode(SCHEMA, schemas[encoded.table], memoryview(described.serialize()))
            parts += encode(ROWS, schemas[encoded.table], encoded.message)
        self._append(b"".join(parts))
        self._schemas = schemas

    def sync(self) -> None:
        """Return when all that was written before has reached the disk, and the file's name as well.

        Raises:
            OSError: it has not.
        """
        self.unsynced = False  # before the sync, as what is written from now on may not be part of it
        os.fdatasync(self._descriptor)
        if not self._entered:
            sync_folder(self.path.parent)
            self._entered = True

    def read(self) -> Contents:
        """The rows of all whole frames.

        Raises:
            RecommendError: it was written by another version.
            OSError: it cannot be read.
        """
        data = _all_of(self._descriptor)
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            raise RecommendError(
                f"{self.path} is no segment that this version reads: start the version that wrote it, or move it away"
            )
        schemas: dict[int, memoryview] = {}
        rows: defaultdict[int, list[memoryview]] = defaultdict(list)
        end = len(MAGIC) if len(data) >= len(MAGIC) else 0
        for frame in whole_frames(data):
            if frame.kind == SCHEMA:
                schemas[frame.table] = frame.payload
            else:
                rows[frame.table].append(frame.payload)
            end = frame.end
        tables = [_table(schemas[number], messages) for number, messages in rows.items()]
        return Contents(dict(tables), torn_bytes=len(data) - end)

    def close(self) -> None:
        """Close it; its rows stay."""
        os.close(self._descriptor)

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, memoryview(data)[written:])
        except OSError:
            self._cut_back()
            raise
        self.size += len(data)

    def _cut_back(self) -> None:
        """Undo a write that failed half-way: a reader would stop there."""
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            self.broken = True


def segments_in(folder: Path) -> list[Path]:
    """The segments of one worker, oldest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder have reached the disk.

    Raises:
        OSError: they have not.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _all_of(descriptor: int) -> memoryview:
    """The file, in memory of Arrow's, which gives it back to the system: Python's bytes, of other sizes each time, would
    leave ever larger holes in the heap."""
    data = memoryview(pa.allocate_buffer(os.fstat(descriptor).st_size))  # type: ignore[arg-type]
    read = 0
    while read < len(data) and (more := os.preadv(descriptor, [data[read:]], read)):
        read += more
    return data[:read].toreadonly()


def _table(schema: memoryview, messages: list[memoryview]) -> tuple[str, pa.Table]:
    """Messages of one table are an Arrow IPC stream once they follow one another: read in one call."""
    stream = pa.BufferOutputStream()
    for part in (schema, *messages):
        stream.write(part)
    read = pa.ipc.open_stream(stream.getvalue()).read_all()
    return read.schema.metadata[_TABLE].decode(), read.replace_schema_metadata(None)
