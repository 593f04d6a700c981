"""As-of joins on Spark: ours, Feast's own store, and DuckDB on the same rows; for `benchmarks.join`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkOfflineStoreConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Float32
from pyspark.sql import SparkSession

from benchmarks._join_data import VIEWS, feature_references, feature_store, label_rows
from feature_repo.spark import session
from feature_repo.stores.spark.store import AsofSparkOfflineStoreConfig

PARTITIONS = 32
"""Of a shuffle: a few hundred thousand of ten million label rows each, so that a sort fits a task's memory."""

Write = Callable[[Path], None]


@dataclass(frozen=True)
class Join:
    """One engine's way from label rows to a folder of Parquet files."""

    name: str
    write: Write

    def seconds(self, folder: Path) -> float:
        """How long it takes to write ``folder``, which must not exist."""
        begun = time.perf_counter()
        self.write(folder)
        return time.perf_counter() - begun


def spark_session() -> SparkSession:
    """A warm one. ``RECOMMEND_SPARK_MEMORY`` is the driver's memory."""
    spark = session("benchmark of joins")
    spark.conf.set("spark.sql.shuffle.partitions", str(PARTITIONS))
    spark.range(10).repartition(2).count()
    return spark


def write_labels(folder: Path, count: int) -> Path:
    """``count`` label rows as one Parquet file, which every engine reads."""
    path = folder / f"labels-{count}.parquet"
    rows = label_rows(count)
    duckdb.from_arrow(rows).write_parquet(str(path))
    return path


def ours(tables: Path, labels: Path) -> Join:
    """Our store over the file sources; executors read, join and write."""
    store = feature_store(tables, AsofSparkOfflineStoreConfig())
    return Join("spark, ours", _through(store, labels))


def stock(tables: Path, labels: Path) -> Join:
    """Feast's Spark store, told to leave out what was not known yet; it takes no file sources."""
    return Join("spark, stock", _through(_spark_source_store(tables), labels))


def native(tables: Path, labels: Path) -> Join:
    """Spark's own ``ASOF JOIN`` by hand, for rows that never tie and are known in the order of their events."""

    def write(folder: Path) -> None:
        spark = session("benchmark of joins")
        spark.conf.set("spark.sql.join.asofJoin.enabled", "true")
        spark.read.parquet(str(labels)).createOrReplaceTempView("labels")
        joins, features = [], []
        for view in VIEWS:
            spark.read.parquet(str(tables / view.name)).createOrReplaceTempView(view.name)
            keys = " AND ".join(f"l.{key} = {view.name}.{key}" for key, _ in view.keys)
            joins.append(
                f"LEFT OUTER ASOF JOIN {view.name} "
                f"MATCH_CONDITION (l.event_timestamp >= {view.name}.event_timestamp) ON {keys}"
            )
            fresh = f"l.event_timestamp - {view.name}.event_timestamp <= INTERVAL {view.ttl.days} DAY"
            features += [f"CASE WHEN {fresh} THEN {view.name}.{f} END AS {f}" for f in view.features]
        query = f"SELECT l.*, {', '.join(features)} FROM labels l {' '.join(joins)}"
        spark.sql(query).write.parquet(str(folder))

    return Join("spark, its ASOF JOIN by hand", write)


def duckdb_by_hand(tables: Path, labels: Path) -> Join:
    """DuckDB's ``ASOF JOIN`` by hand, to Parquet."""

    def write(folder: Path) -> None:
        joins, features = [], []
        for view in VIEWS:
            keys = " AND ".join(f"l.{key} = {view.name}.{key}" for key, _ in view.keys)
            joins.append(
                f"ASOF LEFT JOIN (SELECT *, greatest(event_timestamp, created) AS known "
                f"FROM '{tables / view.name}/*/*.parquet') {view.name} ON {keys} AND l.instant >= {view.name}.known"
            )
            fresh = f"l.instant - {view.name}.event_timestamp <= INTERVAL {view.ttl.days} DAY"
            features += [f"CASE WHEN {fresh} THEN {f} END AS {f}" for f in view.features]
        rows = f"(SELECT *, event_timestamp AT TIME ZONE 'UTC' AS instant FROM '{labels}')"
        query = f"SELECT l.* EXCLUDE (instant), {', '.join(features)} FROM {rows} l {' '.join(joins)}"
        folder.mkdir()
        with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({query}) TO '{folder / 'part-0.parquet'}' (FORMAT parquet)")

    return Join("duckdb, by hand", write)


def _through(store: FeatureStore, labels: Path) -> Write:
    def write(folder: Path) -> None:
        rows = session("benchmark of joins").read.parquet(str(labels))
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
