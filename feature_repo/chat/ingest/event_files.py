"""The files of an *events* export, Parquet, CSV or JSON lines, as a stream of batches of their own columns.

Only the columns that are wanted are read: a name or a text in another column is never looked at.
"""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_repo.errors import RecommendError

_ROWS_PER_BATCH = 65_536
_LINES_PER_BATCH = 20_000
_CSV_BLOCK_BYTES = 8 << 20
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class FileBatch:
    """Some rows of one file.

    Args:
        columns: As the file has them, only those that are wanted.
        lines: Row (Parquet, CSV: without the header) or line (JSON lines) of each, from 1; int64 ``[rows]``.
        reasons: Why a row is no row at all, null where it is one; strings ``[rows]``.
        done: How much of the file has been read with it, from 0 to 1.
    """

    columns: pa.RecordBatch
    lines: NDArray[np.int64]
    reasons: pa.Array
    done: float


def read_file(path: Path, wanted: Collection[str], label: str) -> Iterator[FileBatch]:
    """The rows of one file.

    Raises:
        RecommendError: the file is damaged, cut off, or not in UTF-8; it is called ``label`` there.
    """
    return READERS[path.suffix](path, wanted, label)


def _parquet(path: Path, wanted: Collection[str], label: str) -> Iterator[FileBatch]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = [name for name in file.schema_arrow.names if name in wanted]
            total, start = file.metadata.num_rows, 0
            yield _empty(pa.schema([file.schema_arrow.field(name) for name in names]))
            for batch in file.iter_batches(_ROWS_PER_BATCH, columns=names):
                end = start + len(batch)
                lines = np.arange(start + 1, end + 1)
                yield FileBatch(batch, lines, pa.nulls(len(batch), pa.string()), end / total)
                start = end
    except (pa.ArrowInvalid, OSError):
        raise RecommendError(f"{label} is not a whole Parquet file: export it again") from None


def _csv(path: Path, wanted: Collection[str], label: str) -> Iterator[FileBatch]:
    """All cells as text; numbers and instants are read from it later, cell by cell."""
    broken: list[int] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        broken.append(row.number - 1)  # it counts the header
        return "skip"

    names = [name for name in _csv_header(path, label) if name in wanted]
    schema = pa.schema([(name, pa.string()) for name in names])
    yield _empty(schema)
    try:
        with pyarrow.csv.open_csv(
            path,
            pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
            pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            pyarrow.csv.ConvertOptions(
                column_types=schema, include_columns=names, null_values=[""], strings_can_be_null=True
            ),
        ) as reader:
            last, blocks = 0, path.stat().st_size / _CSV_BLOCK_BYTES
            for n, batch in enumerate(reader, start=1):
                lines = _lines(last, len(batch), broken)
                last = int(lines[-1]) if len(lines) else last
                yield FileBatch(batch, lines, pa.nulls(len(batch), pa.string()), min(1.0, n / blocks))
                yield _broken([b for b in broken if b < last], schema, min(1.0, n / blocks))
                broken[:] = [b for b in broken if b > last]
    except pa.ArrowInvalid:  # its text repeats the row
        raise RecommendError(f"{label} is no CSV file in UTF-8: export it again") from None
    yield _broken(broken, schema, 1.0)


def _csv_header(path: Path, label: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error):
        raise RecommendError(f"{label} is no CSV file in UTF-8: export it again") from None
    if not names:
        raise RecommendError(f"{label} is empty: a CSV file begins with a line of column names")
    if len(set(names)) < len(names):
        raise RecommendError(f"{label} has two columns of one name: rename one")
    return names


def _lines(last: int, rows: int, broken: list[int]) -> NDArray[np.int64]:
    """Numbers of the next ``rows`` good rows after row ``last``, past the broken ones."""
    return np.setdiff1d(np.arange(last + 1, last + 1 + rows + len(broken)), broken)[:rows]


def _broken(numbers: list[int], schema: pa.Schema, done: float) -> FileBatch:
    empty = _empty(schema)
    columns = [pa.nulls(len(numbers), t) for t in schema.types]
    reasons = pa.array(["the row has more or fewer cells than the header"] * len(numbers), pa.string())
    batch = pa.RecordBatch.from_arrays(columns, schema=schema) if columns else empty.columns
    return FileBatch(batch, np.array(numbers, np.int64), reasons, done)


def _empty(schema: pa.Schema) -> FileBatch:
    """No row, but the columns: what is missing among them is told even if the file has no row."""
    batch = pa.RecordBatch.from_pylist([], schema)
    return FileBatch(batch, np.empty(0, np.int64), pa.nulls(0, pa.string()), 0.0)


def _json_lines(path: Path, wanted: Collection[str], label: str) -> Iterator[FileBatch]:
    """All values as text, like those of a CSV file."""
    first, size = 1, path.stat().st_size
    with path.open("rb") as file:
        while lines := list(islice(file, _LINES_PER_BATCH)):
            records = [_record(line, wanted) for line in lines]
            if isinstance(records[-1], str) and not lines[-1].endswith(b"\n"):
                raise RecommendError(f"{label} is cut off in line {first + len(lines) - 1}: export it again")
            found = [(n, record) for n, record in enumerate(records, start=first) if record is not None]
            yield _record_batch(found, file.tell() / size)
            first += len(lines)


def _record(line: bytes, wanted: Collection[str]) -> dict[str, str | None] | str | None:
    """The wanted values of one line as text; a reason where it cannot be read; None where it is blank."""
    if not line.strip():
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "the line is no JSON"
    if not isinstance(record, dict):
        return "the line is no JSON object"
    values = {name: record[name] for name in record.keys() & wanted}
    if any(isinstance(value, dict | list) for value in values.values()):
        return "a value is a list or an object"
    texts = {name: _text(value) for name, value in values.items()}
    if b"\\u" in line and any(_LONE_SURROGATE.search(text) for text in texts.values() if text):
        return "a value is no Unicode text"
    return texts


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value != value else str(value)  # NaN differs from itself


def _record_batch(found: list[tuple[int, dict[str, str | None] | str]], done: float) -> FileBatch:
    records: list[dict[str, str | None]] = [{} if isinstance(record, str) else record for _, record in found]
    names = sorted(set().union(*records))
    columns = [pa.array([record.get(name) for record in records], pa.string()) for name in names]
    reasons = pa.array([record if isinstance(record, str) else None for _, record in found], pa.string())
    lines = np.array([n for n, _ in found], np.int64)
    return FileBatch(pa.RecordBatch.from_arrays(columns, names=names), lines, reasons, done)


READERS: Mapping[str, Callable[[Path, Collection[str], str], Iterator[FileBatch]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _json_lines,
}
"""By file name suffix."""
