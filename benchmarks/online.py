"""Reading 500 candidates × 30 features from 3 views: packed rows against Feast's own stores and the bare reads."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Int64
from rich.console import Console
from rich.table import Table

from benchmarks._redis_server import redis_server
from feature_repo.stores.packed.keys import integer_keys, row_prefix
from feature_repo.stores.packed.matrix import MatrixReader

CANDIDATES = 500
COLUMNS = 10
USERS = 8
ROUNDS = 60
READS_A_ROUND = 10
"""Of ours and of the floor, for each read of the stock stores, which take a hundred times as long."""
PROJECT = "bench"
VIEWS = {"user_view": ["user"], "item_view": ["item"], "pair_view": ["user", "item"]}
PACKED = "feature_repo.stores.packed.online_store.PackedOnlineStore"

Read = Callable[[int], object]


@dataclass(frozen=True)
class Contest:
    """One way of reading, its milliseconds, and whether it is a slow one: read once in a round."""

    read: Read
    slow: bool
    milliseconds: list[float]

    def take(self, user: int, timed: bool) -> None:
        """Read once."""
        begun = time.perf_counter()
        self.read(user)
        if timed:
            self.milliseconds.append((time.perf_counter() - begun) * 1000)


def run() -> dict[str, Any]:
    """Interleave all, print medians and 99th percentiles; the last line is for machines."""
    with tempfile.TemporaryDirectory() as folder, redis_server() as port:
        contests = _contests(Path(folder), port)
        for turn in range(ROUNDS + 2):
            warm = turn >= 2  # the first rounds fill caches
            for contest in (c for c in contests.values() if c.slow):
                contest.take(turn % USERS, warm)
            for repeat in range(READS_A_ROUND):
                for contest in (c for c in contests.values() if not c.slow):
                    contest.take((turn + repeat) % USERS, warm)
    times = {name: contest.milliseconds for name, contest in contests.items()}
    return _report(times)


def _contests(folder: Path, port: int) -> dict[str, Contest]:
    stores: dict[str, dict[str, Any]] = {
        "lmdb": {"type": PACKED, "path": "packed"},
        "redis": {"type": PACKED, "backend": "redis", "port": port},
        "stock sqlite": {"type": "sqlite", "path": str(folder / "stock.db")},
        "stock redis": {"type": "redis", "connection_string": f"localhost:{port},db=1"},
    }
    opened = {name: _store(folder / name.replace(" ", "_"), settings) for name, settings in stores.items()}
    candidates = np.random.default_rng(7).permutation(CANDIDATES).astype(np.int64)
    contests: dict[str, Contest] = {}
    for backend in ("lmdb", "redis"):
        contests[backend] = Contest(_ours(opened[backend], candidates), False, [])
    contests["floor lmdb"] = Contest(_bare_lmdb(folder / "lmdb" / "packed", candidates), False, [])
    contests["floor redis"] = Contest(_bare_redis(port, candidates), False, [])
    for name in ("stock sqlite", "stock redis"):
        contests[name] = Contest(_stock(opened[name], candidates), True, [])
    return contests


def _store(folder: Path, online: Mapping[str, Any]) -> FeatureStore:
    """A repo of three views with every row that is read, written through Feast's own interface."""
    folder.mkdir()
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        repo_path=folder,
        online_store=dict(online),
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = {
        name: Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.INT64)
        for name in ("user", "item")
    }
    views = [_view(folder, name, [entities[key] for key in keys]) for name, keys in VIEWS.items()]
    store.apply([*entities.values(), *views, FeatureService(name="service", features=views)])
    for view in views:
        store._get_provider().online_write_batch(store.config, view, _rows(view.name), None)
    return store


def _view(folder: Path, name: str, entities: list[Entity]) -> FeatureView:
    fields = [Field(name=f"f{i}", dtype=Float32) for i in range(COLUMNS)]
    keys = [Field(name=entity.join_key, dtype=Int64) for entity in entities]
    source = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp")
    return FeatureView(
        name=name, entities=entities, ttl=timedelta(days=8), schema=[*keys, *fields], source=source
    )


def _rows(view: str) -> list[tuple[EntityKey, dict[str, Value], datetime, None]]:
    users = range(USERS) if "user" in VIEWS[view] else [0]
    items = range(CANDIDATES) if "item" in VIEWS[view] else [0]
    random = np.random.default_rng(len(view))
    now = datetime.now(UTC)
    rows = []
    for user in users:
        for item in items:
            ids = {"user": user, "item": item}
            key = EntityKey(
                join_keys=[f"{name}_id" for name in VIEWS[view]],
                entity_values=[Value(int64_val=ids[name]) for name in VIEWS[view]],
            )
            values = {f"f{i}": Value(float_val=x) for i, x in enumerate(random.normal(size=COLUMNS))}
            rows.append((key, values, now, None))
    return rows


def _ours(store: FeatureStore, candidates: Any) -> Read:
    reader = MatrixReader.of_store(store, "service")

    def read(user: int) -> object:
        matrix = reader.read({"user_id": user}, candidates, "item_id", datetime.now(UTC))
        assert not np.isnan(matrix.values[0, 0])
        return matrix

    return read


def _stock(store: FeatureStore, candidates: Any) -> Read:
    service = store.get_feature_service("service")

    def read(user: int) -> object:
        rows = {"user_id": [user] * CANDIDATES, "item_id": candidates.tolist()}
        return store.get_online_features(service, rows, full_feature_names=True).to_dict()

    return read


def _keys(candidates: Any) -> dict[int, list[bytes]]:
    """The 1,001 keys of each user's read, made beforehand."""
    keys = {}
    for user in range(USERS):
        ids = {"user": np.array([user], np.int64), "item": candidates}
        keys[user] = [
            key
            for view, names in VIEWS.items()
            for key in integer_keys(
                row_prefix(PROJECT, view, [f"{name}_id" for name in names]),
                ["int64_val"] * len(names),
                [ids[name] for name in sorted(names)],
            )
        ]
    return keys


def _bare_lmdb(folder: Path, candidates: Any) -> Read:
    from feature_repo.stores.packed.backends.lmdb import open_lmdb

    keys = _keys(candidates)
    environment = open_lmdb(folder, 1 << 30)._environment

    def read(user: int) -> object:
        with environment.begin() as transaction:
            get = transaction.get
            return [get(key) for key in keys[user]]

    assert None not in read(0)  # type: ignore[operator]
    return read


def _bare_redis(port: int, candidates: Any) -> Read:
    keys = _keys(candidates)
    client = redis.Redis(port=port)
    assert None not in client.mget(keys[0])  # type: ignore[operator]
    return lambda user: client.mget(keys[user])


def _report(times: Mapping[str, list[float]]) -> dict[str, Any]:
    p50 = {name: float(np.median(values)) for name, values in times.items()}
    p99 = {name: float(np.percentile(values, 99)) for name, values in times.items()}
    rows: list[dict[str, Any]] = [
        {
            "what": name,
            "p50_ms": round(p50[name], 3),
            "p99_ms": round(p99[name], 3),
            "reads": len(times[name]),
        }
        for name in times
    ]
    for row, backend, stock in ((rows[0], "lmdb", "stock sqlite"), (rows[1], "redis", "stock redis")):
        row["vs_stock"] = round(p50[stock] / p50[backend], 1)
        row["vs_floor"] = round(p50[backend] / p50[f"floor {backend}"], 2)
    title = f"{CANDIDATES} candidates × {COLUMNS * len(VIEWS)} features, {os.cpu_count()} cores"
    table = Table("what", "p50 ms", "p99 ms", "× faster than stock", "× the floor", title=title)
    for row in rows:
        cells = (row["what"], row["p50_ms"], row["p99_ms"], row.get("vs_stock", ""), row.get("vs_floor", ""))
        table.add_row(*map(str, cells))
    Console().print(table)
    return {
        "bench": "online",
        "vs_stock": min(row["vs_stock"] for row in rows[:2]),
        "vs_floor": max(row["vs_floor"] for row in rows[:2]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }
