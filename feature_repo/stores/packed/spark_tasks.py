"""What a Spark task does with its rows, in a Python process of an executor: packs them, and stores or hands them on.

Spark pickles the task by the name of its class: executors need this package, Feast and the Redis client installed.
"""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_repo.stores import errors
from feature_repo.stores.errors import StoreError
from feature_repo.stores.packed.bulk import Table, pack_batch
from feature_repo.stores.packed.connection import ConnectionSettings, open_backend

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator

COUNT_SCHEMA = "rows bigint"
"""What `StoreRows` yields, in Spark's words."""

PACKED_SCHEMA = "packed binary"
"""What `PackRows` yields: a batch of packed rows as an Arrow stream."""

_PACKED = pa.schema([("key", pa.binary()), ("row", pa.binary())])
_MARK = "packed store error "


@dataclass(frozen=True)
class StoreRows:
    """For ``DataFrame.mapInArrow``: stores the rows of a partition from the executor. Yields one row, their number.

    A task that Spark runs again does no harm: what it has stored is stored once more, and no row becomes older.

    Args:
        table: Whose rows they are.
        settings: Of a storage that every executor reaches.
        batch_rows: How many rows are packed at once, at most; fewer where Spark's own batches
            (``spark.sql.execution.arrow.maxRecordsPerBatch``) are smaller.
        stored: Grows by the rows of a task when it ends.
    """

    table: Table
    settings: ConnectionSettings
    batch_rows: int
    stored: "Accumulator[int]"

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The task."""
        count = 0
        with _told_to_the_driver(), closing(open_backend(self.settings, None)) as backend:
            for batch in _cut(batches, self.batch_rows):
                backend.upsert(*pack_batch(self.table, batch))
                count += batch.num_rows
        self.stored.add(count)
        yield pa.RecordBatch.from_pydict({"rows": [count]})


@dataclass(frozen=True)
class PackRows:
    """For ``DataFrame.mapInArrow``: packs the rows of a partition, to be stored by the driver.

    Args:
        table: Whose rows they are.
        batch_rows: As in `StoreRows`.
    """

    table: Table
    batch_rows: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The task."""
        with _told_to_the_driver():
            for batch in _cut(batches, self.batch_rows):
                keys, rows = pack_batch(self.table, batch)
                packed = pa.RecordBatch.from_arrays(
                    [pa.array(keys, pa.binary()), pa.array(rows, pa.binary())], schema=_PACKED
                )
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, _PACKED) as stream:
                    stream.write_batch(packed)
                yield pa.RecordBatch.from_pydict({"packed": [sink.getvalue().to_pybytes()]})


def unpacked(cell: bytes) -> tuple[list[bytes], list[bytes]]:
    """Keys and rows of what `PackRows` yielded."""
    with pa.ipc.open_stream(cell) as stream:
        keys, rows = stream.read_all().columns
    return keys.to_pylist(), rows.to_pylist()


def told_by_a_task(text: str) -> StoreError | None:
    """The error that a task raised, found in what Spark says of its failure; None where it failed otherwise."""
    found = re.search(re.escape(_MARK) + r"(\{.*\})", text)
    if found is None:
        return None
    told = json.loads(found[1])
    error: StoreError = getattr(errors, told["type"])(told["text"])
    return error


@contextmanager
def _told_to_the_driver() -> Iterator[None]:
    """Spark hands the driver a text in place of a task's exception: let the text hold all there is to know."""
    try:
        yield
    except StoreError as error:
        told = json.dumps({"type": type(error).__name__, "text": str(error)})
        raise RuntimeError(_MARK + told) from None


def _cut(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for begin in range(0, batch.num_rows, rows):
            yield batch.slice(begin, rows)
