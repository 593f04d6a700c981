"""Bulk materialization: the same rows as Feast's own engine, resumable, by batches, beside itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Array, Bool, Float32, Float64, Int64, Json, String, UnixTimestamp

from feature_repo.stores.errors import StoreUnavailable, ValueMismatch
from feature_repo.stores.packed.engine import PackedComputeEngine
from feature_repo.stores.packed.matrix import MatrixReader
from feature_repo.stores.packed.source_batches import source_batches
from tests.feature_repo.stores.small_repo import (
    DAY,
    ENGINE,
    PACKED,
    PROJECT,
    entity_key,
    feast_store,
    feature_view,
    user,
    write_table,
)
from tests.redis_server import RedisServer

BATCH = {"type": ENGINE, "batch_rows": 2048}
LMDB = {"type": PACKED, "path": "online", "enforce_ttl": False}
SPAN = (DAY - timedelta(days=1), DAY + timedelta(days=1))


def _table(path: Path, rows: int) -> dict[str, Any]:
    random = np.random.default_rng(3)
    columns = {
        "user_id": random.permutation(rows),
        "f": random.normal(size=rows).astype(np.float32),
        "d": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.2),
        "n": pa.array(random.integers(0, 99, rows), mask=random.random(rows) < 0.2),
        "b": pa.array(random.random(rows) < 0.5),
        "s": pa.array([None if n % 5 == 0 else "é" * (n % 7) for n in range(rows)]),
        "l": pa.array(
            [None if n % 4 == 0 else list(range(n % 6)) for n in range(rows)], pa.list_(pa.int64())
        ),
        "at": pa.array([DAY] * rows, pa.timestamp("us", "UTC")),
    }
    write_table(path, columns)
    return {
        "f": Float32,
        "d": Float64,
        "n": Int64,
        "b": Bool,
        "s": String,
        "l": Array(Int64),
        "at": UnixTimestamp,
    }


def _applied(folder: Path, online: dict[str, Any], engine: dict[str, Any], *objects: Any) -> FeatureStore:
    store = feast_store(folder, online, engine)
    store.apply([user, *objects])
    return store


def _answers(store: FeatureStore, view: FeatureView, rows: int) -> dict[str, Any]:
    refs = [f"{view.name}:{feature.name}" for feature in view.features]
    answer: dict[str, Any] = store.get_online_features(refs, {"user_id": list(range(rows))}).to_dict()
    return answer


def _dump(folder: Path) -> dict[bytes, bytes]:
    """All that an LMDB store holds, as another process sees it."""
    script = (
        "import lmdb, pickle, sys\n"
        "with lmdb.open(sys.argv[1], readonly=True) as e, e.begin() as t:\n"
        "    sys.stdout.buffer.write(pickle.dumps(dict(t.cursor())))"
    )
    import pickle

    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, check=True)
    stored: dict[bytes, bytes] = pickle.loads(done.stdout)
    return stored


def test_reads_are_those_after_feasts_own_engine(tmp_path: Path, online: dict[str, Any]) -> None:
    fields = _table(tmp_path / "t.parquet", 300)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    stock = _applied(tmp_path / "stock", {"type": "sqlite", "path": "o.db"}, {"type": "local"}, view)
    ours = _applied(tmp_path / "ours", {**online, "enforce_ttl": False}, BATCH, view)
    for store in (stock, ours):
        store.materialize(*SPAN)
    assert isinstance(ours._get_provider().batch_engine, PackedComputeEngine)
    assert _answers(ours, view, 301) == _answers(stock, view, 301)


def test_the_latest_row_of_the_interval_is_kept(tmp_path: Path, online: dict[str, Any]) -> None:
    hours = [0, 1, 1, -1, 99]  # the last is after the end; of the two at 1 the later created counts
    write_table(
        tmp_path / "t.parquet",
        {"user_id": [1, 1, 1, 2, 1], "a": pa.array([0, 1, 2, 3, 4], pa.float32())},
        [DAY + timedelta(hours=h) for h in hours],
        [DAY, DAY, DAY + timedelta(seconds=1), DAY, DAY],
    )
    view = feature_view("view", {"a": Float32}, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", {**online, "enforce_ttl": False}, BATCH, view)
    store.materialize(*SPAN)
    assert _answers(store, view, 3)["a"] == [None, 2, 3]
    store.materialize(DAY - timedelta(days=2), DAY)  # an earlier interval changes nothing
    assert _answers(store, view, 3)["a"] == [None, 2, 3]


def test_incremental_works_as_of_an_instant_in_the_past(tmp_path: Path, online: dict[str, Any]) -> None:
    write_table(tmp_path / "t.parquet", {"user_id": [1], "a": pa.array([5], pa.float32())})
    view = feature_view("view", {"a": Float32}, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", online, BATCH, view, FeatureService(name="s", features=[view]))
    store.materialize_incremental(end_date=DAY + timedelta(days=2))
    matrix = MatrixReader.of_store(store, "s").read({}, np.array([1]), "user_id", DAY + timedelta(days=2))
    assert matrix.values.tolist() == [[5]]


def test_mapped_columns_are_found(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", {"uid": [1], "score": pa.array([5], pa.float32())})
    source = FileSource(
        path=str(tmp_path / "t.parquet"),
        timestamp_field="event_timestamp",
        field_mapping={"uid": "user_id", "score": "a"},
    )
    schema = [Field(name="user_id", dtype=Int64), Field(name="a", dtype=Float32)]
    view = FeatureView(name="view", entities=[user], schema=schema, source=source)
    store = _applied(tmp_path / "repo", LMDB, BATCH, view)
    store.materialize(*SPAN)
    assert _answers(store, view, 2)["a"] == [None, 5]


def test_a_view_that_is_validated_goes_feasts_own_way(tmp_path: Path) -> None:
    write_table(tmp_path / "good.parquet", {"user_id": [1], "j": ["[5]"]})
    write_table(tmp_path / "bad.parquet", {"user_id": [1], "j": ["[5"]})
    for name in ("good", "bad"):
        view = feature_view("view", {"j": Json}, path=tmp_path / f"{name}.parquet", enable_validation=True)
        store = _applied(tmp_path / name, LMDB, {**BATCH, "backend": "pandas"}, view)
        if name == "bad":
            with pytest.raises(ValueError, match=r"Validation: validate. Column 'j' declared as Json"):
                store.materialize(*SPAN)
        else:
            store.materialize(*SPAN)
            refs = ["view:j"]
            answer = store.get_online_features(refs, {"user_id": [0, 1]}).proto
            assert [value.json_val for value in answer.results[1].values] == ["", "[5]"]


def test_an_empty_interval_is_no_error(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", {"user_id": [1], "a": pa.array([5], pa.float32())})
    view = feature_view("view", {"a": Float32}, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", LMDB, BATCH, view)
    store.materialize(DAY + timedelta(days=5), DAY + timedelta(days=6))
    assert _answers(store, view, 2)["a"] == [None, None]


def test_a_table_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", {"user_id": pa.array([1, None]), "a": pa.array([5, 6], pa.float32())})
    view = feature_view("view", {"a": Float32}, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", LMDB, BATCH, view)
    with pytest.raises(ValueMismatch, match="feature view view: 1 rows have no user_id"):
        store.materialize(*SPAN)


def test_batches_are_bounded_and_in_key_order(tmp_path: Path) -> None:
    fields = _table(tmp_path / "t.parquet", 9000)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", LMDB, BATCH, view)
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, view.batch_source, ["user_id"], ["f"], "event_timestamp", "created", *SPAN
    )
    source = source_batches(job, ["user_id"], 2048)
    sizes, ids = [], []
    for batch in source.batches:
        sizes.append(batch.num_rows)
        ids += batch.column(batch.schema.get_field_index("user_id")).to_pylist()
    assert source.total == 9000
    assert max(sizes) <= 2048
    assert ids == list(range(9000))


_MATERIALIZE = """
import os, signal, sys
from pathlib import Path
from tests.feature_repo.stores.small_repo import PROJECT, feast_store
from tests.feature_repo.stores.packed.test_engine import BATCH, LMDB, SPAN

class Bar:
    left = int(sys.argv[2])
    def update(self, rows):
        Bar.left -= 1
        if not Bar.left:
            os.kill(os.getpid(), signal.SIGKILL)
    def close(self):
        pass

store = feast_store(Path(sys.argv[1]), LMDB, BATCH)
store._get_provider().materialize_single_feature_view(
    store.config, store.get_feature_view("view"), *SPAN, store.registry, PROJECT, lambda total: Bar()
)
"""


def _in_a_process(folder: Path, batches: int = 0) -> "subprocess.Popen[bytes]":
    """A run in a process of its own, which is killed after so many batches, if any."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _MATERIALIZE, str(folder), str(batches)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_rows(tmp_path: Path) -> None:
    fields = _table(tmp_path / "t.parquet", 30_000)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    for name in ("whole", "killed"):
        _applied(tmp_path / name, LMDB, BATCH, view)
    assert _in_a_process(tmp_path / "whole").wait() == 0
    expected = _dump(tmp_path / "whole" / "online")
    assert _in_a_process(tmp_path / "killed", batches=5).wait() == -signal.SIGKILL
    partly = _dump(tmp_path / "killed" / "online")
    assert len(partly) == 5 * 2048 + 1  # whole batches, and the layout
    assert partly.items() <= expected.items()
    assert _in_a_process(tmp_path / "killed").wait() == 0
    assert _dump(tmp_path / "killed" / "online") == expected


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_writes_leaves_whole_batches(
    tmp_path: Path, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    fields = _table(tmp_path / "t.parquet", 60_000)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", LMDB, BATCH, view)
    run = _in_a_process(tmp_path / "repo")
    first = entity_key(user_id=0)

    def begun() -> bool:
        ((event, _),) = store._get_provider().online_read(store.config, view, [first])
        return event is not None

    wait_until(begun)
    run.kill()
    run.wait()
    rows = len(_dump(tmp_path / "repo" / "online")) - 1
    assert rows % 2048 == 0 or rows == 60_000
    assert _in_a_process(tmp_path / "repo").wait() == 0
    assert len(_dump(tmp_path / "repo" / "online")) == 60_001


@pytest.mark.slow
def test_two_runs_at_once_do_no_harm(tmp_path: Path) -> None:
    fields = _table(tmp_path / "t.parquet", 20_000)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    for name in ("alone", "both"):
        _applied(tmp_path / name, LMDB, BATCH, view)
    runs = [_in_a_process(tmp_path / name) for name in ("alone", "both", "both")]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert _dump(tmp_path / "both" / "online") == _dump(tmp_path / "alone" / "online")


def test_redis_gone_in_the_middle_resumes(tmp_path: Path, own_redis: RedisServer) -> None:
    fields = _table(tmp_path / "t.parquet", 5000)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    online = {"type": PACKED, "backend": "redis", "port": own_redis.port, "enforce_ttl": False}
    store = _applied(tmp_path / "repo", online, BATCH, view)
    engine = store._get_provider().batch_engine
    backend = store._get_provider().online_store.backend(store.config)
    stop_after_the_first = _StopAfter(own_redis)
    with pytest.raises(StoreUnavailable, match="Redis at localhost"):
        store._get_provider().materialize_single_feature_view(
            store.config, view, *SPAN, store.registry, PROJECT, lambda total: stop_after_the_first
        )
    own_redis.start()
    assert isinstance(engine, PackedComputeEngine)
    assert backend.read([b"anything"]) == [None]
    store.materialize(*SPAN)
    assert None not in _answers(store, view, 5000)["f"]


class _StopAfter:
    """A progress bar that stops Redis when the first batch has been reported."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def update(self, rows: int) -> None:
        assert rows > 0
        self._server.stop()

    def close(self) -> None:
        pass


def test_progress_counts_every_row(tmp_path: Path) -> None:
    fields = _table(tmp_path / "t.parquet", 5000)
    view = feature_view("view", fields, path=tmp_path / "t.parquet")
    store = _applied(tmp_path / "repo", LMDB, BATCH, view)
    told: list[int] = []

    class Bar:
        def update(self, rows: int) -> None:
            told.append(rows)

        def close(self) -> None:
            told.append(-1)

    totals: list[int] = []

    def bar(total: int) -> Bar:
        totals.append(total)
        return Bar()

    store._get_provider().materialize_single_feature_view(
        store.config, view, *SPAN, store.registry, PROJECT, bar
    )
    assert totals == [5000]
    assert sum(told[:-1]) == 5000
    assert told[-1] == -1
    assert max(told) <= 2048
