"""What a Spark task does, called as Spark calls it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast.types import Array, Float32, Int64

from feature_repo.stores.errors import StoreUnavailable, ValueMismatch
from feature_repo.stores.packed.bulk import Table, pack_batch
from feature_repo.stores.packed.keys import row_prefix
from feature_repo.stores.packed.layout import layout_of
from feature_repo.stores.packed.online_store import PackedOnlineStoreConfig
from feature_repo.stores.packed.spark_tasks import PackRows, StoreRows, told_by_a_task, unpacked
from tests.feature_repo.stores.small_repo import DAY, PROJECT, feature_view
from tests.redis_server import free_port

VIEW = feature_view("view", {"a": Float32, "l": Array(Int64)})
TABLE = Table(
    view="view",
    prefix=row_prefix(PROJECT, "view", ["user_id"]),
    layout=layout_of(VIEW),
    join_keys={"user_id": "INT64"},
    event="event_timestamp",
    created=None,
)


def _batch(first: int, rows: int) -> pa.RecordBatch:
    ids = np.arange(first, first + rows)
    return pa.RecordBatch.from_pydict(
        {
            "user_id": ids,
            "a": (ids / 3).astype(np.float32),
            "l": pa.array([[int(n)] * (n % 3) for n in ids], pa.list_(pa.int64())),
            "event_timestamp": pa.array([DAY] * rows, pa.timestamp("us", "UTC")),
        }
    )


def test_rows_are_packed_by_batches_and_arrive_as_they_were() -> None:
    cells = [
        cell.column("packed")[0].as_py() for cell in PackRows(TABLE, 4)(iter([_batch(0, 10), _batch(10, 1)]))
    ]
    packed = [unpacked(cell) for cell in cells]
    assert [len(keys) for keys, _ in packed] == [4, 4, 2, 1]
    whole = pack_batch(TABLE, _batch(0, 11))
    assert (
        tuple([part for parts in column for part in parts] for column in zip(*packed, strict=True)) == whole
    )


def test_an_error_comes_out_of_sparks_text_as_it_went_in() -> None:
    broken = _batch(0, 3).drop_columns("a")
    with pytest.raises(ValueMismatch) as expected:
        pack_batch(TABLE, broken)
    with pytest.raises(RuntimeError) as raised:
        list(PackRows(TABLE, 4)(iter([broken])))
    spark = f"Job aborted: RuntimeError: {raised.value}\n SQLSTATE: 38000\n\tat org.apache.spark.Task{{1}}"
    told = told_by_a_task(spark)
    assert type(told) is ValueMismatch
    assert str(told) == str(expected.value)


def test_other_failures_are_none_of_ours() -> None:
    assert (
        told_by_a_task('org.apache.spark.SparkException: {"type": "StoreUnavailable", "text": "no"}') is None
    )


def test_a_storage_that_is_not_there_is_told(tmp_path: Path) -> None:
    from pyspark.accumulators import INT_ACCUMULATOR_PARAM, Accumulator

    port = free_port()
    settings = PackedOnlineStoreConfig(backend="redis", port=port).connection()
    stored = Accumulator(0, 0, INT_ACCUMULATOR_PARAM)
    counts: Iterator[pa.RecordBatch] = StoreRows(TABLE, settings, 4, stored)(iter([_batch(0, 3)]))
    with pytest.raises(RuntimeError) as raised:
        next(counts)
    assert type(told_by_a_task(str(raised.value))) is StoreUnavailable
    assert stored._value == 0
