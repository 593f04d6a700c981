"""Feature views, daily snapshots and label rows for the benchmark of the as-of join."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.repo_config import FeastConfigBaseModel, RegistryConfig, RepoConfig
from feast.types import Float32

DAYS = 250
FEATURES = 10


@dataclass(frozen=True)
class ViewData:
    """What one feature view is made of.

    Args:
        name: Of the view, its table and its features.
        keys: (join key, SQL of it from the entity number ``e``).
        entities: How many there are.
        every: Days between two snapshots.
    """

    name: str
    keys: tuple[tuple[str, str], ...]
    entities: int
    every: int

    @property
    def ttl(self) -> timedelta:
        """A snapshot holds until the next is due, and two days of grace."""
        return timedelta(days=self.every + 2)

    @property
    def features(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"{self.name}_{n}" for n in range(FEATURES))


VIEWS = (
    ViewData("users", (("user_id", "e"),), 5_000, 1),
    ViewData("rooms", (("room_id", "e"),), 5_000, 1),
    ViewData("pairs", (("user_id", "e % 5000"), ("room_id", "e // 10")), 50_000, 10),
)
"""1.25 million rows each; every pair of the label rows is one of the third view's."""


def write_views(folder: Path, *, created_after: timedelta = timedelta(0)) -> None:
    """``folder/<view>/day=…/*.parquet``, rows of a day sorted by key, as daily builds leave them."""
    for view in VIEWS:
        keys = ", ".join(f"({sql})::BIGINT AS {key}" for key, sql in view.keys)
        values = ", ".join(f"(hash(e, d, {n}) % 10007)::FLOAT AS {f}" for n, f in enumerate(view.features))
        duckdb.execute(
            f"""COPY (
                SELECT {keys}, instant AS event_timestamp, instant + to_seconds({created_after.total_seconds()}) AS created,
                       {values}, strftime(instant, '%Y-%m-%d') AS day
                FROM (SELECT *, TIMESTAMP '2024-01-01' + to_days((d * {view.every})::INTEGER) AS instant
                      FROM range({DAYS // view.every}) t(d), range({view.entities}) s(e))
                ORDER BY day, e
            ) TO '{folder / view.name}' (FORMAT parquet, PARTITION_BY (day))"""
        )


def label_rows(count: int) -> pa.Table:
    """A user, a room, an instant within the snapshots, and a label; in no order."""
    with duckdb.connect() as connection:
        return connection.sql(
            f"""SELECT (hash(n) % 5000)::BIGINT AS user_id,
                       ((hash(n) % 5000 + 5000 * (hash(n, 1) % 10)) // 10)::BIGINT AS room_id,
                       TIMESTAMPTZ '2024-01-05 00:00:00+00' + to_seconds(hash(n, 2) % {86_400 * (DAYS - 20)})
                           AS event_timestamp,
                       (hash(n, 3) % 2)::INTEGER AS label
                FROM range({count}) t(n)"""
        ).to_arrow_table()


def asof_join_by_hand(folder: Path, labels: str) -> str:
    """The join as one would write it for DuckDB, knowing that no two rows tie and none overtakes another.

    Args:
        folder: Of the views' tables.
        labels: What stands after FROM: the label rows.
    """
    joins, features = [], []
    for view in VIEWS:
        keys = " AND ".join(f"l.{key} = {view.name}.{key}" for key, _ in view.keys)
        joins.append(
            f"ASOF LEFT JOIN (SELECT *, greatest(event_timestamp, created) AS known "
            f"FROM '{folder / view.name}/*/*.parquet') {view.name} ON {keys} AND l.instant >= {view.name}.known"
        )
        fresh = f"l.instant - {view.name}.event_timestamp <= INTERVAL {view.ttl.days} DAY"
        features += [f"CASE WHEN {fresh} THEN {f} END AS {f}" for f in view.features]
    rows = f"(SELECT *, event_timestamp AT TIME ZONE 'UTC' AS instant FROM {labels})"
    return f"SELECT l.* EXCLUDE (instant), {', '.join(features)} FROM {rows} l {' '.join(joins)}"


@contextmanager
def unordered_duckdb() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that need not keep the order of rows, in UTC."""
    with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        yield connection


def checksum(relation: duckdb.DuckDBPyRelation) -> tuple[int | float, ...]:
    """Of a join's result: how many rows, and how many and which values in three of its features."""
    features = [view.features[0] for view in VIEWS]
    found = relation.aggregate(f"count(*), {', '.join(f'count({f}), sum({f}::DOUBLE)' for f in features)}")
    return tuple(found.fetchall()[0])


def feature_references() -> list[str]:
    """All 30."""
    return [f"{view.name}:{feature}" for view in VIEWS for feature in view.features]


def feature_store(folder: Path, offline_store: FeastConfigBaseModel | dict[str, Any]) -> FeatureStore:
    """The views over ``folder``, applied."""
    entities = {
        key: Entity(name=key, join_keys=[key], value_type=ValueType.INT64) for key in ("user_id", "room_id")
    }
    views = [
        FeatureView(
            name=view.name,
            entities=[entities[key] for key, _ in view.keys],
            schema=[Field(name=feature, dtype=Float32) for feature in view.features],
            source=FileSource(
                name=view.name,
                path=str(folder / view.name),
                file_format=ParquetFormat(),
                timestamp_field="event_timestamp",
                created_timestamp_column="created",
            ),
            ttl=view.ttl,
        )
        for view in VIEWS
    ]
    kind = offline_store["type"] if isinstance(offline_store, dict) else offline_store.type
    store = FeatureStore(
        config=RepoConfig(
            project="join",
            provider="local",
            registry=RegistryConfig(path=str(folder / f"{kind.rpartition('.')[2]}.registry")),
            offline_store=offline_store,
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    store.apply([*entities.values(), *views])
    return store
