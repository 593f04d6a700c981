"""Materialization from Spark: the bytes are those that DuckDB's rows come to, and no row passes the driver."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
import redis
from feast import FeatureStore, FeatureView, Field, FileSource
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Int64
from py4j.protocol import Py4JJavaError
from pyspark.serializers import CPickleSerializer
from pyspark.sql import SparkSession

from feature_repo.stores.errors import StoreError, StoreUnavailable, ValueMismatch
from feature_repo.stores.packed.engine import _table
from feature_repo.stores.packed.online_store import PackedOnlineStoreConfig
from feature_repo.stores.packed.spark_tasks import StoreRows
from tests.feature_repo.stores.packed.spark_repo import (
    DUCKDB,
    SPAN,
    SPARK,
    every_kind,
    floats,
    on_redis,
    redis_dump,
    store_of,
)
from tests.feature_repo.stores.small_repo import (
    DAY,
    PROJECT,
    entity_key,
    feature_view,
    item,
    user,
    write,
    write_table,
)
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_spark"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def empty_redis(running_redis: RedisServer) -> int:
    """The port of one that holds nothing."""
    redis.Redis(port=running_redis.port).flushall()
    return running_redis.port


def _materialized(folder: Path, offline: str, port: int, *views: FeatureView) -> dict[bytes, bytes]:
    """What an empty Redis holds afterwards."""
    redis.Redis(port=port).flushall()
    store_of(folder, offline, on_redis(port), *views).materialize(*SPAN)
    return redis_dump(port)


def test_the_bytes_are_those_that_duckdb_comes_to(tmp_path: Path, empty_redis: int) -> None:
    path = tmp_path / "t.parquet"
    view = every_kind(path, 3000)
    pairs = feature_view("pairs", {"f": Float32, "n": Int64}, entities=(item, user), path=path)
    single = feature_view("single", {"f": Float32}, entities=(), path=path)
    expected = _materialized(tmp_path / "duckdb", DUCKDB, empty_redis, view, pairs, single)
    stored = _materialized(tmp_path / "spark", SPARK, empty_redis, view, pairs, single)
    assert len(expected) == 2 * 1000 + 1 + 3  # a thousand users in two views, a single row, three layouts
    assert stored == expected


def test_mapped_columns_are_found(tmp_path: Path, empty_redis: int) -> None:
    write_table(tmp_path / "t.parquet", {"uid": [1], "score": pa.array([5], pa.float32())})
    source = FileSource(
        path=str(tmp_path / "t.parquet"),
        timestamp_field="event_timestamp",
        field_mapping={"uid": "user_id", "score": "a"},
    )
    schema = [Field(name="user_id", dtype=Int64), Field(name="a", dtype=Float32)]
    view = FeatureView(name="view", entities=[user], schema=schema, source=source)
    stored = _materialized(tmp_path / "spark", SPARK, empty_redis, view)
    assert len(stored) == 2
    assert stored == _materialized(tmp_path / "duckdb", DUCKDB, empty_redis, view)


@pytest.mark.parametrize("online", ["redis", "lmdb"], indirect=True)
def test_a_table_that_the_driver_may_not_collect_is_stored(tmp_path: Path, online: dict[str, Any]) -> None:
    view = floats(tmp_path / "t.parquet", 50_000)
    online.pop("type")
    store = store_of(tmp_path / "repo", SPARK, online, view)
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, view.batch_source, ["user_id"], ["f0", "f1", "f2"], "event_timestamp", "created", *SPAN
    )
    with pytest.raises(Py4JJavaError, match="maxResultSize"):
        job.to_arrow()
    store.materialize(*SPAN)
    assert _rows(store, 50_000) == 50_000


def test_lmdb_holds_the_same_rows_as_redis(tmp_path: Path, empty_redis: int) -> None:
    view = every_kind(tmp_path / "t.parquet", 3000)
    expected = _materialized(tmp_path / "redis", SPARK, empty_redis, view)
    store = store_of(tmp_path / "lmdb", SPARK, {"path": "online"}, view)
    store.materialize(*SPAN)
    backend = store._get_provider().online_store.backend(store.config)
    assert dict(zip(expected, backend.read(list(expected)), strict=True)) == expected


def test_progress_counts_every_row_as_tasks_end(tmp_path: Path, empty_redis: int) -> None:
    view = floats(tmp_path / "t.parquet", 40_000)
    store = store_of(tmp_path / "repo", SPARK, on_redis(empty_redis), view, batch_rows=500)
    told: list[int] = []
    _materialize(store, view, told.append)
    assert sum(told) == 40_000
    assert len(told) > 1


def test_no_rows_are_no_error(tmp_path: Path, empty_redis: int) -> None:
    view = floats(tmp_path / "t.parquet", 10)
    store = store_of(tmp_path / "repo", SPARK, on_redis(empty_redis), view)
    store.materialize(DAY + timedelta(days=5), DAY + timedelta(days=6))
    assert len(redis_dump(empty_redis)) == 1  # the layout


def test_a_value_that_does_not_fit_is_named(tmp_path: Path, online: dict[str, Any]) -> None:
    write_table(tmp_path / "t.parquet", {"user_id": [1, 2], "n": pa.array([1.0, 1.5])})
    view = feature_view("view", {"n": Int64}, path=tmp_path / "t.parquet")
    online.pop("type")
    store = store_of(tmp_path / "repo", SPARK, online, view)
    with pytest.raises(ValueMismatch) as caught:
        store.materialize(*SPAN)
    text = str(caught.value)
    assert text.startswith("feature view view: column n is double and does not fit int64")
    assert "\n" not in text
    assert caught.value.__suppress_context__  # no page of Java below it


def test_redis_gone_in_the_middle_resumes(tmp_path: Path, own_redis: RedisServer) -> None:
    view = floats(tmp_path / "t.parquet", 40_000)
    settings = on_redis(own_redis.port, password="hunter2")  # a server without passwords takes any
    store = store_of(tmp_path / "repo", SPARK, settings, view, batch_rows=100)
    with _when_rows_arrive(own_redis.port, own_redis.stop), pytest.raises(StoreUnavailable) as caught:
        store.materialize(*SPAN)
    text = str(caught.value)
    assert text.startswith(f"Redis at localhost:{own_redis.port}: ")
    assert "hunter2" not in text
    assert "\n" not in text
    own_redis.start()
    store = store_of(tmp_path / "repo", SPARK, on_redis(own_redis.port), view)
    store.materialize(*SPAN)
    assert _rows(store, 40_000) == 40_000


def test_killed_workers_leave_what_another_run_completes(tmp_path: Path, empty_redis: int) -> None:
    view = floats(tmp_path / "t.parquet", 40_000)
    expected = _materialized(tmp_path / "whole", DUCKDB, empty_redis, view)
    redis.Redis(port=empty_redis).flushall()
    store = store_of(tmp_path / "repo", SPARK, on_redis(empty_redis), view, batch_rows=100)
    newer = {f"f{n}": Value(float_val=n) for n in range(10)}
    write(store, view, entity_key(user_id=7), newer, DAY + timedelta(hours=1))
    before = redis_dump(empty_redis)
    (key,) = (key for key, row in before.items() if key in expected and row != expected[key])
    with (
        _when_rows_arrive(empty_redis, _kill_workers),
        pytest.raises(StoreError, match="feature view floats: Spark"),
    ):
        store.materialize(*SPAN)
    partly = redis_dump(empty_redis)
    assert len(before) < len(partly) < len(expected)
    store.materialize(*SPAN)
    assert redis_dump(empty_redis) == {**expected, key: before[key]}


def test_what_travels_to_the_executors_is_small_and_shows_no_password(local_spark: SparkSession) -> None:
    view = feature_view("view", {f"f{n}": Float32 for n in range(30)})
    settings = PackedOnlineStoreConfig(backend="redis", password="hunter2").connection()
    task = StoreRows(_table(PROJECT, view), settings, 1000, local_spark.sparkContext.accumulator(0))
    pickled = CPickleSerializer().dumps(task)
    assert len(pickled) < 4_000
    assert "hunter2" not in repr(task)
    frame = local_spark.range(1).mapInArrow(task, "rows bigint")
    assert "hunter2" not in frame._jdf.queryExecution().toString()


def _materialize(store: FeatureStore, view: FeatureView, update: Callable[[int], None]) -> None:
    class Bar:
        def update(self, rows: int) -> None:
            update(rows)

        def close(self) -> None:
            pass

    store._get_provider().materialize_single_feature_view(
        store.config, view, *SPAN, store.registry, PROJECT, lambda total: Bar()
    )


def _rows(store: FeatureStore, upto: int) -> int:
    """How many of the entities of `floats` have a row."""
    view = store.get_feature_view("floats")
    online = store._get_provider().online_store
    keys = online._keys(store.config, view, [entity_key(user_id=n) for n in range(upto + 1)])
    return sum(row is not None for row in online.backend(store.config).read(keys))


@contextmanager
def _when_rows_arrive(port: int, act: Callable[[], None]) -> Iterator[None]:
    """Do something as soon as Redis holds more keys than now."""
    client: Any = redis.Redis(port=port)
    held = client.dbsize() + 1  # the layout is one
    acted, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            if client.dbsize() > held:
                act()
                acted.set()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert acted.is_set()


def _kill_workers() -> None:
    """The Python processes of Spark's tasks: children of its daemon."""
    for process in psutil.Process().children(recursive=True):
        parent = process.parent()
        if parent is not None and "pyspark.daemon" in " ".join(parent.cmdline()):
            process.kill()
