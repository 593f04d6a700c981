"""As-of joins on Spark: ours, Feast's own store, and DuckDB on the same rows; for `benchmarks.join`."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkOfflineStoreConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Float32
from pyspark.sql import SparkSession

from benchmarks._join_data import (
    VIEWS,
    asof_join_by_hand,
    checksum,
    feature_references,
    feature_store,
    label_rows,
    unordered_duckdb,
    write_views,
)
from benchmarks._join_timing import Engine, Timing, interleaved
from feature_repo.spark import session
from feature_repo.stores.spark.store import AsofSparkOfflineStoreConfig

FEW, FEW_REPEATS, WARMING = 100_000, 2, 2
MANY, MANY_REPEATS = 10_000_000, 2
DRIVER_MEMORY = "8g"
PARTITIONS = 32
"""Of a shuffle: a few hundred thousand of ten million label rows each, so that a sort fits a task's memory."""

Write = Callable[[Path], None]


def measured(folder: Path) -> tuple[dict[str, Timing], dict[str, Timing]]:
    """``ours`` and ``stock`` over few label rows, the JVM warm; ``ours`` and ``duckdb`` over many. All of them read
    and write Parquet.

    For a process that has not used Spark before: a JVM's memory is given when it starts.
    """
    os.environ |= {"RECOMMEND_HOME": str(folder / "home"), "RECOMMEND_SPARK_MEMORY": DRIVER_MEMORY}
    tables = folder / "tables"
    tables.mkdir(parents=True)
    write_views(tables)
    spark = _session()
    labels = write_labels(folder, FEW)
    expected = _floor(tables, labels)
    engines = {
        "ours": _timed("ours", ours(tables, labels), folder, expected),
        "stock": _timed("stock", stock(tables, labels), folder, expected),
    }
    interleaved(engines, FEW, WARMING)
    few = interleaved(engines, FEW, FEW_REPEATS)

    labels = write_labels(folder, MANY)
    expected = _floor(tables, labels)
    engines = {
        "duckdb": _timed("DuckDB", duckdb_by_hand(tables, labels), folder, expected),
        "ours": _timed("ours", ours(tables, labels), folder, expected),
    }
    many = interleaved(engines, MANY, MANY_REPEATS)
    spark.stop()
    return few, many


def write_labels(folder: Path, count: int) -> Path:
    """``count`` label rows as one Parquet file, which every engine reads."""
    path = folder / f"labels-{count}.parquet"
    duckdb.from_arrow(label_rows(count)).write_parquet(str(path))
    return path


def ours(tables: Path, labels: Path) -> Write:
    """Our store over the file sources; executors read, join and write."""
    return _through(feature_store(tables, AsofSparkOfflineStoreConfig()), labels)


def stock(tables: Path, labels: Path) -> Write:
    """Feast's Spark store, told to leave out what was not known yet; it takes no file sources."""
    return _through(_spark_source_store(tables), labels)


def duckdb_by_hand(tables: Path, labels: Path) -> Write:
    """DuckDB's ``ASOF JOIN`` by hand."""

    def write(folder: Path) -> None:
        folder.mkdir()
        query = asof_join_by_hand(tables, f"'{labels}'")
        with unordered_duckdb() as connection:
            connection.execute(f"COPY ({query}) TO '{folder / 'part-0.parquet'}' (FORMAT parquet)")

    return write


def _session() -> SparkSession:
    spark = session("benchmark of joins")
    spark.conf.set("spark.sql.shuffle.partitions", str(PARTITIONS))
    return spark


def _floor(tables: Path, labels: Path) -> tuple[int | float, ...]:
    with unordered_duckdb() as connection:
        return checksum(connection.sql(asof_join_by_hand(tables, f"'{labels}'")))


def _timed(name: str, write: Write, folder: Path, expected: tuple[int | float, ...]) -> Engine:
    def seconds() -> float:
        result = folder / "result"
        begun = time.perf_counter()
        write(result)
        taken = time.perf_counter() - begun
        if (found := checksum(duckdb.read_parquet(f"{result}/*.parquet"))) != expected:
            raise SystemExit(f"{name}: the result is {found} instead of {expected}")
        shutil.rmtree(result)
        return taken

    return seconds


def _through(store: FeatureStore, labels: Path) -> Write:
    def write(folder: Path) -> None:
        rows = _session().read.parquet(str(labels))
        job = store.get_historical_features(
            rows,  # type: ignore[arg-type]  # Feast's Spark store takes Spark's frames
            feature_references(),
            filter_by_created_timestamp=True,
        )
        job.to_spark_df().write.parquet(str(folder))  # type: ignore[attr-defined]

    return write


def _spark_source_store(tables: Path) -> FeatureStore:
    """The views of `benchmarks._join_data` over Spark's sources."""
    entities = {
        key: Entity(name=key, join_keys=[key], value_type=ValueType.INT64) for key in ("user_id", "room_id")
    }
    views = [
        FeatureView(
            name=view.name,
            entities=[entities[key] for key, _ in view.keys],
            schema=[Field(name=feature, dtype=Float32) for feature in view.features],
            source=SparkSource(
                name=view.name,
                path=str(tables / view.name),
                file_format="parquet",
                timestamp_field="event_timestamp",
                created_timestamp_column="created",
            ),
            ttl=view.ttl,
        )
        for view in VIEWS
    ]
    store = FeatureStore(
        config=RepoConfig(
            project="join",
            provider="local",
            registry=RegistryConfig(path=str(tables / "stock-spark.registry")),
            offline_store=SparkOfflineStoreConfig(),
            online_store={"type": "sqlite", "path": str(tables / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    store.apply([*entities.values(), *views])
    return store
