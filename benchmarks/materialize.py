"""Materializing a table into the online store: packed rows against Feast's own engine and the bare writes."""

import contextlib
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import lmdb
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Int64
from rich.console import Console
from rich.table import Table

from feature_repo.stores.packed.backends.lmdb import open_lmdb

ROWS = 1_000_000
STOCK_ROWS = 20_000
"""Feast's own engine takes minutes for all rows; its time grows with them in proportion."""
COLUMNS = 10
REPEATS = 3
WRITE_ROWS = 65_536
DAY = datetime(2026, 1, 1, tzinfo=UTC)
PACKED = {
    "online_store": {"type": "feature_repo.stores.packed.online_store.PackedOnlineStore", "path": "online"},
    "batch_engine": {"type": "feature_repo.stores.packed.engine.PackedComputeEngine"},
}
STOCK = {"online_store": {"type": "sqlite", "path": "online.db"}, "batch_engine": {"type": "local"}}


def run() -> dict[str, Any]:
    """Interleave the three, print medians; the last line is for machines."""
    seconds: dict[str, list[float]] = {"packed": [], "stock sqlite": [], "floor": []}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "table.parquet", ROWS)
        _write(folder / "part.parquet", STOCK_ROWS)
        for turn in range(REPEATS):
            ours = _store(folder / f"packed-{turn}", folder / "table.parquet", PACKED)
            seconds["packed"].append(_timed(lambda store=ours: _materialize(store)))  # type: ignore[misc]
            online = folder / f"packed-{turn}" / "online" / "data.mdb"
            items = _items(online.parent)
            floor = folder / f"floor-{turn}"
            seconds["floor"].append(_timed(lambda to=floor, rows=items: _bare(to, rows)))  # type: ignore[misc]
            stock = _store(folder / f"stock-{turn}", folder / "part.parquet", STOCK)
            seconds["stock sqlite"].append(_timed(lambda store=stock: _materialize(store)))  # type: ignore[misc]
            sizes = {
                "packed": online.stat().st_size,
                "stock sqlite": (folder / f"stock-{turn}" / "online.db").stat().st_size,
                "floor": (floor / "data.mdb").stat().st_size,
            }
        parquet = (folder / "table.parquet").stat().st_size
    return _report({what: median(times) for what, times in seconds.items()}, sizes, parquet)


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _write(path: Path, rows: int) -> None:
    """Ids in no order, ten columns of random numbers: a table that compression does little for."""
    columns = ", ".join(f"(random() * 100)::FLOAT AS f{i}" for i in range(COLUMNS))
    duckdb.execute(
        f"""COPY (
            SELECT n AS user_id, TIMESTAMPTZ '{DAY.isoformat()}' AS event_timestamp,
                   TIMESTAMPTZ '{DAY.isoformat()}' AS created, {columns}
            FROM range({rows}) t(n) ORDER BY hash(n)
        ) TO '{path}' (FORMAT parquet)"""
    )


def _store(folder: Path, table: Path, settings: dict[str, Any]) -> FeatureStore:
    folder.mkdir()
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        repo_path=folder,
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
        **settings,
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(
        path=str(table), timestamp_field="event_timestamp", created_timestamp_column="created"
    )
    fields = [Field(name=f"f{i}", dtype=Float32) for i in range(COLUMNS)]
    view = FeatureView(
        name="view",
        entities=[user],
        ttl=timedelta(days=8),
        schema=[Field(name="user_id", dtype=Int64), *fields],
        source=source,
    )
    store = FeatureStore(config=config)
    store.apply([user, view])
    return store


def _materialize(store: FeatureStore) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        store.materialize(DAY - timedelta(days=1), DAY + timedelta(days=1))


def _items(folder: Path) -> list[tuple[bytes, bytes]]:
    """The very keys and rows that were materialized, in key order."""
    open_lmdb(folder, 0).close()  # a process may open an environment once
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        items = list(transaction.cursor())
    assert len(items) == ROWS + 1  # and the layout
    return items


def _bare(folder: Path, items: list[tuple[bytes, bytes]]) -> None:
    with lmdb.open(str(folder), map_size=1 << 30, metasync=False) as environment:
        for begin in range(0, len(items), WRITE_ROWS):
            with environment.begin(write=True) as transaction:
                transaction.cursor().putmulti(items[begin : begin + WRITE_ROWS])


def _report(seconds: dict[str, float], sizes: dict[str, int], parquet: int) -> dict[str, Any]:
    written = {"packed": ROWS, "floor": ROWS, "stock sqlite": STOCK_ROWS}
    rows: list[dict[str, Any]] = [
        {
            "what": what,
            "rows": written[what],
            "seconds": round(seconds[what], 2),
            "rows_per_second": round(written[what] / seconds[what]),
            "bytes_per_row": round(sizes[what] / written[what], 1),
        }
        for what in seconds
    ]
    title = f"{ROWS:,} rows × {COLUMNS} features, {os.cpu_count()} cores (stock: {STOCK_ROWS:,} rows)"
    table = Table("what", "rows", "seconds", "rows a second", "bytes a row", title=title)
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    table.add_row("parquet", f"{ROWS:,}", "", "", str(round(parquet / ROWS, 1)))
    Console().print(table)
    rate = {row["what"]: row["rows_per_second"] for row in rows}
    return {
        "bench": "materialize",
        "vs_stock": round(rate["packed"] / rate["stock sqlite"], 1),
        "vs_floor": round(seconds["packed"] / seconds["floor"], 2),
        "vs_parquet_size": round(sizes["packed"] / parquet, 2),
        "stock_extrapolated_from_rows": STOCK_ROWS,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }
