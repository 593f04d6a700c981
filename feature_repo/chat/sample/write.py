"""The files of a sample: one Parquet file per event table, in a folder that appears whole or not at all."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.chat.events import EVENT_TABLES
from feature_repo.chat.sample.rows import Batch, export_rows, export_schema
from feature_repo.errors import RecommendError
from feature_repo.events import EventTable

_MARK: Final = b"recommend.sample"
_ROW_GROUP: Final = 250_000


def is_sample(folder: Path) -> bool:
    """Whether a folder holds an earlier sample and nothing else."""
    names = {f"{table.name}.parquet" for table in EVENT_TABLES}
    if {entry.name for entry in folder.iterdir()} != names:
        return False
    try:
        return all(_MARK in (pq.read_schema(folder / name).metadata or {}) for name in names)
    except (pa.ArrowInvalid, OSError):
        return False


def check_out(out: Path) -> None:
    """Make sure that a sample may be written there.

    Raises:
        RecommendError: it is a file, or a folder that holds something else than an earlier sample.
    """
    if out.exists() and not out.is_dir():
        raise RecommendError(f"--out {out} is a file: name a folder that is new, empty, or an earlier sample")
    if out.is_dir() and any(out.iterdir()) and not is_sample(out):
        raise RecommendError(
            f"--out {out} holds files that are not a sample: name a folder that is new, empty, or an earlier sample"
        )


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to write in, which takes the place of ``out`` at the end, and vanishes after an error.

    Raises:
        RecommendError: the disk refuses, there or beside ``out``.
    """
    place = out.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as work:
            fresh = Path(work) / "new"
            fresh.mkdir()
            yield fresh
            if place.exists():
                place.rename(Path(work) / "old")
            fresh.rename(place)
    except OSError as error:
        raise RecommendError(
            f"cannot write --out {out}: {error}; make room or name another folder"
        ) from error


class TableFile:
    """One table's Parquet file, written a row group at a time: memory does not hold the whole."""

    def __init__(self, folder: Path, table: EventTable, mark: Mapping[str, object], founded: int) -> None:
        """Begin ``<table>.parquet``.

        Args:
            folder: Where it goes.
            table: What its columns are.
            mark: How the sample was made; kept in the file's metadata.
            founded: The number of founded channels, as for ``export_rows``.
        """
        self._table, self._founded = table, founded
        schema = export_schema(table).with_metadata({_MARK: json.dumps(mark)})
        self._writer = pq.ParquetWriter(folder / f"{table.name}.parquet", schema, compression="zstd")
        self._pending: list[pa.Table] = []
        self._waiting = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, rows: pa.Table) -> None:
        """Add rows of indices, none of a day before the last one that was added."""
        self._pending.append(rows)
        self._waiting += len(rows)
        self.rows += len(rows)

    def end_day(self) -> None:
        """Let go of what was added, where there is enough of it: a row group holds whole days."""
        if self._waiting >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            rows = pa.concat_tables(self._pending).sort_by("event_timestamp")
            self._writer.write_table(export_rows(self._table, rows, self._founded))
        self._pending, self._waiting = [], 0


def write_tables(
    folder: Path,
    days: Iterable[Iterable[Batch]],
    mark: Mapping[str, object],
    founded: int,
    on_day: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Write every event table, day by day, each day given in one or more batches; answers the rows by table.

    ``on_day`` is called with each day as it is done; the rest is as for ``TableFile``.
    """
    with ExitStack() as stack:
        files = {t.name: stack.enter_context(TableFile(folder, t, mark, founded)) for t in EVENT_TABLES}
        for day, batches in enumerate(days):
            for batch in batches:
                for name, rows in batch.items():
                    files[name].add(rows)
            for file in files.values():
                file.end_day()
            if on_day is not None:
                on_day(day)
        return {name: file.rows for name, file in files.items()}
