"""Rows of an event table as an Arrow record batch, without a Python object for each value."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_repo.events import ID, TIMESTAMP, EventTable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Layout:
    """How the rows of one table are laid out; made once, as its schema takes longer than a batch."""

    def __init__(self, table: EventTable) -> None:
        """The layout of ``table``."""
        self.table = table
        self.schema = table.schema
        self._repeat = {field.name: _repeater(field.type) for field in self.schema}

    def batch(
        self, rows: int, alike: Mapping[str, Any], columns: Mapping[str, pa.Array | NDArray[Any]]
    ) -> pa.RecordBatch:
        """A batch of ``rows`` rows.

        Args:
            rows: How many; at least 1.
            alike: For each column whose rows are all alike, their value: None, or what Arrow takes for its
                type; for an instant a datetime in UTC.
            columns: For each other column, ``[rows]`` values: an Arrow array of the column's type, or a numpy
                array of the same width, which is not copied.
        """
        arrays = [
            self._repeat[name](alike[name], rows) if name in alike else _array(columns[name])
            for name in self.schema.names
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def batch_of(self, columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
        """A batch of Python values, ``[rows]`` for each column: for where there are few, and all different."""
        return pa.RecordBatch.from_pydict(dict(columns), schema=self.schema)


def float_lists(matrix: NDArray[np.float32]) -> pa.ListArray:
    """A list of float32 for each row of ``matrix``, ``[rows, values]`` float32; NaN stays NaN."""
    return pa.ListArray.from_arrays(_offsets(*matrix.shape), pa.array(matrix.ravel()))


def _array(values: pa.Array | NDArray[Any]) -> pa.Array:
    return pa.array(values) if isinstance(values, np.ndarray) else values


@lru_cache(maxsize=256)
def _offsets(rows: int, width: int) -> pa.Array:
    return pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))


def _repeater(type_: pa.DataType) -> Callable[[Any, int], pa.Array]:
    if type_ == ID:
        return _repeated_id
    if type_ == TIMESTAMP:
        return _repeated_instant
    return partial(_repeated, type_)


def _repeated_id(value: int | None, rows: int) -> pa.Array:
    return pa.nulls(rows, ID) if value is None else pa.array(np.full(rows, value, np.int64))


def _repeated_instant(value: datetime, rows: int) -> pa.Array:
    since = (value - _EPOCH) // _MICROSECOND
    return pa.Array.from_buffers(TIMESTAMP, rows, [None, pa.py_buffer(np.full(rows, since, np.int64))])


def _repeated(type_: pa.DataType, value: Any, rows: int) -> pa.Array:
    return pa.nulls(rows, type_) if value is None else _kept(type_)(value, rows)


@cache
def _kept(type_: pa.DataType) -> Callable[[Any, int], pa.Array]:
    """Names, versions and flags are the same from answer to answer: the latest arrays are kept."""
    return lru_cache(maxsize=512)(lambda value, rows: pa.repeat(pa.scalar(value, type_), rows))
