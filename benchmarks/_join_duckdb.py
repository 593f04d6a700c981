"""As-of joins of label rows in memory: ours, Feast's DuckDB store, and the floor; for `benchmarks.join`."""

import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from feast import FeatureStore
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig

from benchmarks._join_data import (
    asof_join_by_hand,
    checksum,
    feature_references,
    feature_store,
    label_rows,
    unordered_duckdb,
    write_views,
)
from benchmarks._join_timing import Engine, Timing, interleaved
from feature_repo.stores.duckdb.store import AsofDuckDBOfflineStoreConfig

LABELS = 1_000_000
REPEATS = 3

# Feast reads DuckDB through ibis, which has not followed DuckDB's renaming yet.
warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)

Join = Callable[[], pa.Table]


def measured(folder: Path, created_after: timedelta, *, against_stock: bool) -> dict[str, Timing]:
    """``floor``, ``ours`` and, if so wanted, ``stock``, over feature rows that were created so long after their
    events."""
    labels = label_rows(LABELS)
    folder.mkdir()
    write_views(folder, created_after=created_after)
    joins = {
        "floor": floor(folder, labels),
        "ours": ours(feature_store(folder, AsofDuckDBOfflineStoreConfig()), labels),
    }
    if against_stock:
        joins["stock"] = stock(feature_store(folder, DuckDBOfflineStoreConfig()), labels)
    expected = checksum(duckdb.from_arrow(joins["floor"]()))
    engines = {name: _timed(name, join, expected) for name, join in joins.items()}
    return interleaved(engines, LABELS, REPEATS)


def ours(store: FeatureStore, labels: pa.Table) -> Join:
    """In the labels' order."""
    return lambda: store.get_historical_features(labels, feature_references()).to_arrow()


def stock(store: FeatureStore, labels: pa.Table) -> Join:
    """Feast's store, told to leave out what was not known yet; it changes the data frame that it is given."""
    frame = labels.to_pandas()
    return lambda: store.get_historical_features(
        frame.copy(), feature_references(), filter_by_created_timestamp=True
    ).to_arrow()


def floor(folder: Path, labels: pa.Table) -> Join:
    """By hand, in no order."""

    def join() -> pa.Table:
        with unordered_duckdb() as connection:
            connection.register("labels", labels)
            return connection.sql(asof_join_by_hand(folder, "labels")).to_arrow_table()

    return join


def _timed(name: str, join: Join, expected: tuple[int | float, ...]) -> Engine:
    def seconds() -> float:
        begun = time.perf_counter()
        result = join()
        taken = time.perf_counter() - begun
        if (found := checksum(duckdb.from_arrow(result))) != expected:
            raise SystemExit(f"DuckDB, {name}: the result is {found} instead of {expected}")
        return taken

    return seconds
