"""As-of joins in DuckDB: ours, Feast's own store, and the floor, which is the same ``ASOF JOIN`` by hand."""

import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from feast import FeatureStore
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from rich.console import Console
from rich.table import Table

from benchmarks._join_data import VIEWS, feature_references, feature_store, label_rows, write_views
from feature_repo.stores.duckdb.store import AsofDuckDBOfflineStoreConfig

LABELS = 1_000_000
REPEATS = 5

# Feast reads DuckDB through ibis, which has not followed DuckDB's renaming yet.
warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)

Engine = Callable[[], pa.Table]


def run() -> dict[str, Any]:
    """Interleave the engines, print medians; the last line is for machines."""
    labels = label_rows(LABELS)
    with tempfile.TemporaryDirectory() as folder:
        in_time = _measured(Path(folder) / "in-time", labels, timedelta(0))
        late = _measured(Path(folder) / "late", labels, timedelta(hours=2))
    rows = [
        _row(f"{name}, rows created {when}", seconds)
        for when, measured in (("in time", in_time), ("2 h late", late))
        for name, seconds in measured.items()
    ]
    table = Table(
        "what",
        "seconds",
        "p99",
        "label rows a second",
        title=f"{LABELS:,} label rows, 3 views of 1.25 M rows, 30 features",
    )
    for row in rows:
        table.add_row(str(row["what"]), f"{row['seconds']}", f"{row['p99']}", f"{row['rows_per_second']:,}")
    Console().print(table)
    ours, stock, floor = (float(np.median(in_time[name])) for name in ("ours", "stock", "floor"))
    return {
        "bench": "join",
        "vs_stock": round(stock / ours, 2),
        "vs_floor": round(ours / floor, 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }


def _measured(folder: Path, labels: pa.Table, created_after: timedelta) -> dict[str, list[float]]:
    folder.mkdir()
    write_views(folder, created_after=created_after)
    engines = {
        "floor": floor(folder, labels),
        "ours": embedded(feature_store(folder, AsofDuckDBOfflineStoreConfig()), labels),
        "stock": stock(feature_store(folder, DuckDBOfflineStoreConfig()), labels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(REPEATS):
        for name, engine in engines.items():
            begun = time.perf_counter()
            result = engine()
            seconds[name].append(time.perf_counter() - begun)
            if result.num_rows != labels.num_rows:
                raise SystemExit(f"{name} answered {result.num_rows} of {labels.num_rows} label rows")
    return seconds


def embedded(store: FeatureStore, labels: pa.Table) -> Engine:
    """Ours."""
    return lambda: store.get_historical_features(labels, feature_references()).to_arrow()


def stock(store: FeatureStore, labels: pa.Table) -> Engine:
    """Feast's DuckDB store, told to leave out what was not known yet; it changes the data frame that it is given."""
    frame = labels.to_pandas()
    return lambda: store.get_historical_features(
        frame.copy(), feature_references(), filter_by_created_timestamp=True
    ).to_arrow()


def floor(folder: Path, labels: pa.Table) -> Engine:
    """What one would write by hand, knowing that no two rows tie and none overtakes another; in no order."""
    joins, features = [], []
    for view in VIEWS:
        keys = " AND ".join(f"l.{key} = {view.name}.{key}" for key, _ in view.keys)
        joins.append(
            f"ASOF LEFT JOIN (SELECT *, greatest(event_timestamp, created) AS known FROM '{folder / view.name}/*/*.parquet') "
            f"{view.name} ON {keys} AND l.instant >= {view.name}.known"
        )
        fresh = f"l.instant - {view.name}.event_timestamp <= INTERVAL {view.ttl.days} DAY"
        features += [f"CASE WHEN {fresh} THEN {f} END AS {f}" for f in view.features]
    rows = "(SELECT *, event_timestamp AT TIME ZONE 'UTC' AS instant FROM labels)"
    query = f"SELECT l.* EXCLUDE (instant), {', '.join(features)} FROM {rows} l {' '.join(joins)}"

    def join() -> pa.Table:
        with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("labels", labels)
            return connection.sql(query).to_arrow_table()

    return join


def _row(what: str, seconds: list[float]) -> dict[str, object]:
    middle = float(np.median(seconds))
    return {
        "what": what,
        "seconds": round(middle, 2),
        "p99": round(float(np.quantile(seconds, 0.99)), 2),
        "rows_per_second": round(LABELS / middle),
    }
