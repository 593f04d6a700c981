"""A table of every kind of column, and Feast stores that read it by Spark or by DuckDB into one Redis or LMDB."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from feast import FeatureStore, FeatureView, RepoConfig
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, Json, String, UnixTimestamp

from tests.feature_repo.stores.small_repo import (
    DAY,
    ENGINE,
    PACKED,
    PROJECT,
    feature_view,
    item,
    user,
    write_table,
)

SPARK = "feature_repo.stores.spark.store.AsofSparkOfflineStore"
DUCKDB = "feature_repo.stores.duckdb.store.AsofDuckDBOfflineStore"
SPAN = (DAY - timedelta(days=1), DAY + timedelta(days=1))

FIELDS = {
    "f": Float32,
    "d": Float64,
    "n": Int64,
    "i": Int32,
    "b": Bool,
    "s": String,
    "j": Json,
    "l": Array(Int64),
    "fl": Array(Float32),
    "sl": Array(String),
    "at": UnixTimestamp,
}


def store_of(
    folder: Path, offline: str, online: Mapping[str, Any], *objects: Any, batch_rows: int = 2048
) -> FeatureStore:
    """A Feast store with those objects applied, whose files lie in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        repo_path=folder,
        online_store={"type": PACKED, **online},
        offline_store={"type": offline},
        batch_engine={"type": ENGINE, "batch_rows": batch_rows},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([user, item, *objects])
    return store


def on_redis(port: int, **settings: Any) -> dict[str, Any]:
    """An ``online_store`` block."""
    return {"backend": "redis", "port": port, **settings}


def every_kind(path: Path, rows: int) -> FeatureView:
    """A view over a new table: three rows an entity; some were created nobody knows when."""
    random = np.random.default_rng(5)

    def holed(values: Any) -> pa.Array:
        return pa.array(values, mask=random.random(rows) < 0.2)

    event = [DAY + timedelta(microseconds=int(n)) for n in random.integers(0, 10**9, rows)]
    for n in range(2, rows, 6):
        event[n] = event[n - 1]  # the one that was created later counts
    created = [None if n % 7 == 0 else at + timedelta(hours=n % 5) for n, at in enumerate(event)]
    for n in range(5, rows, 12):
        event[n], created[n] = event[n - 1], created[n - 1]  # the one with the greater values counts
    columns = {
        "user_id": np.arange(rows) // 3 - rows // 6,
        "item_id": np.arange(rows) // 3 % 40,
        "f": pa.array(random.normal(size=rows).astype(np.float32)),
        "d": holed(random.normal(size=rows)),
        "n": holed(random.integers(-(2**60), 2**60, rows)),
        "i": holed(random.integers(-99, 99, rows).astype(np.int16)),
        "b": holed(random.random(rows) < 0.5),
        "s": pa.array([None if n % 5 == 0 else "é" * (n % 7) for n in range(rows)]),
        "j": pa.array([None if n % 6 == 0 else f'{{"a": {n}}}' for n in range(rows)]),
        "l": pa.array(
            [None if n % 4 == 0 else list(range(n % 6)) for n in range(rows)], pa.list_(pa.int64())
        ),
        "fl": pa.array([[n / 7] * (n % 3) for n in range(rows)], pa.list_(pa.float32())),
        "sl": pa.array([[f"{n}", "ß"][: n % 3] for n in range(rows)], pa.list_(pa.string())),
        "at": pa.array(event, pa.timestamp("us", "UTC")),
    }
    write_table(path, columns, event, created)
    return feature_view("every_kind", FIELDS, path=path)


def floats(path: Path, rows: int, columns: int = 10) -> FeatureView:
    """A view of random numbers over a new table of one row an entity."""
    random = np.random.default_rng(7)
    names = [f"f{n}" for n in range(columns)]
    numbers = {name: random.normal(size=rows).astype(np.float32) for name in names}
    at = pa.array([DAY] * rows, pa.timestamp("us", "UTC"))
    table = pa.table({"user_id": random.permutation(rows), **numbers, "event_timestamp": at, "created": at})
    pq.write_table(table, path, row_group_size=20_000)  # a reader holds whole row groups
    return feature_view("floats", dict.fromkeys(names, Float32), path=path)


def redis_dump(port: int) -> dict[bytes, bytes]:
    """All that a Redis holds."""
    client: Any = redis.Redis(port=port)
    keys: Sequence[bytes] = list(client.scan_iter(count=10_000))
    return dict(zip(keys, client.mget(keys) if keys else [], strict=True))
