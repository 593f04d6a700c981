"""The Spark store behind Feast's own interface: file sources and Spark's, orders, names, kinds of entity rows."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RequestSource,
    ValueType,
)
from feast.data_format import ParquetFormat
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Float64, Int64
from pyspark.sql import SparkSession

from feature_repo.stores.spark.append import append
from feature_repo.stores.spark.job import AsofSparkRetrievalJob
from feature_repo.stores.spark.sources import readable, writable

pytestmark = pytest.mark.slow

DAY = datetime(2024, 3, 1, tzinfo=UTC)
SPARK = "feature_repo.stores.spark.store.AsofSparkOfflineStore"
DUCKDB = "feature_repo.stores.duckdb.store.AsofDuckDBOfflineStore"
USERS, DAYS = 6, 5


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from feature_repo.spark import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(tmp_path_factory.mktemp("spark")))
        yield session("tests of stores")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Daily snapshots: ``user/day=…``, the first of which lacks the column ``added``; and ``site/rows.parquet``."""
    root = tmp_path_factory.mktemp("tables")
    for day in range(DAYS):
        at = pa.array([DAY + timedelta(days=day)] * USERS)
        rows = pa.table(
            {
                "user_key": pa.array(range(USERS)),
                "posts": pa.array([100 * day + user for user in range(USERS)]),
                "event_timestamp": at,
                # The snapshot of the fourth day was made a day late.
                "created": pa.array([DAY + timedelta(days=day + (day == 3))] * USERS),
            }
        )
        if day:
            rows = rows.append_column("added", pa.array(np.full(USERS, day / 2)))
        folder = root / "user" / f"day={DAY.date() + timedelta(days=day)}"
        folder.mkdir(parents=True)
        pq.write_table(rows, folder / "part-0.parquet")
    (root / "site").mkdir()
    site = {"visits": [10, 20], "event_timestamp": [DAY.replace(tzinfo=None), datetime(2024, 3, 3)]}
    pq.write_table(pa.table(site), root / "site" / "rows.parquet", coerce_timestamps="us")
    return root


@on_demand_feature_view(
    sources=[RequestSource(name="asked", schema=[Field(name="weight", dtype=Float64)])],
    schema=[Field(name="doubled", dtype=Float64)],
    mode="pandas",
)
def weighing(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"doubled": inputs["weight"] * 2})


def _store(root: Path, offline: str, tables: Path, *, spark_source: bool = False) -> FeatureStore:
    root.mkdir(exist_ok=True)
    config = RepoConfig(
        project="test",
        provider="local",
        registry=str(root / "registry.db"),
        online_store={"type": "sqlite", "path": str(root / "online.db")},
        offline_store={"type": offline},
        entity_key_serialization_version=3,
        repo_path=tables,
    )
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    times = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created"}
    mapping = {"user_key": "user_id"}
    users = (
        SparkSource(
            name="u", path=str(tables / "user"), file_format="parquet", field_mapping=mapping, **times
        )
        if spark_source
        else FileSource(name="u", path="user", file_format=ParquetFormat(), field_mapping=mapping, **times)
    )
    fields = [Field(name="posts", dtype=Int64)]
    if not spark_source:  # which takes its columns from any one file
        fields.append(Field(name="added", dtype=Float64))
    views = [
        FeatureView(name="user", entities=[user], schema=fields, source=users, ttl=timedelta(days=2)),
        FeatureView(
            name="site",
            entities=[],
            schema=[Field(name="visits", dtype=Int64)],
            source=FileSource(
                name="s", path="site", file_format=ParquetFormat(), timestamp_field="event_timestamp"
            ),
        ),
    ]
    store.apply([user, *views, weighing])
    return store


def _asked(rows: int = 40) -> pd.DataFrame:
    draw = np.random.default_rng(7)
    hours = draw.integers(-12, 24 * (DAYS + 3), rows)
    return pd.DataFrame(
        {
            "label": draw.choice(["a", "b"], rows),
            "event_timestamp": pd.to_datetime([DAY + timedelta(hours=int(h)) for h in hours], utc=True),
            "user_id": draw.integers(0, USERS + 2, rows),
            "weight": draw.random(rows),
        }
    )


FEATURES = ["user:posts", "user:added", "site:visits"]


@pytest.fixture(scope="module")
def store(spark: SparkSession, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return _store(tmp_path_factory.mktemp("repo"), SPARK, tables)


def test_both_profiles_answer_the_same_in_the_same_order(
    store: FeatureStore, tables: Path, tmp_path: Path
) -> None:
    asked = pd.concat([_asked(), _asked().iloc[:3]], ignore_index=True).sample(frac=1, random_state=1)
    embedded = _store(tmp_path / "duckdb", DUCKDB, tables)
    features = [*FEATURES, "weighing:doubled"]
    ours, theirs = (s.get_historical_features(asked, features).to_df() for s in (store, embedded))
    assert ours["posts"].notna().sum() > 10
    assert ours["posts"].isna().sum() > 3
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)
    pd.testing.assert_frame_equal(ours[asked.columns], asked.reset_index(drop=True), check_dtype=False)


def test_the_same_row_wins_a_tie_in_both_profiles_whichever_features_are_asked_for(
    spark: SparkSession, tables: Path, tmp_path: Path
) -> None:
    shutil.copytree(tables / "site", tmp_path / "site")
    (tmp_path / "user").mkdir()
    rows = {
        "user_key": [1] * 3,
        "posts": [8, 9, 7],
        "added": [2.0, None, 1.0],
        "event_timestamp": pa.array([DAY] * 3),
        "created": pa.array([DAY] * 3),
    }
    pq.write_table(pa.table(rows), tmp_path / "user" / "rows.parquet")
    asked = pd.DataFrame({"user_id": [1], "event_timestamp": [DAY]})
    for offline in (SPARK, DUCKDB):
        store = _store(tmp_path / offline, offline, tmp_path)
        found = [
            store.get_historical_features(asked, [f"user:{f}"]).to_df()[f][0] for f in ("posts", "added")
        ]
        assert found == [8, 2.0]


def test_a_snapshot_that_was_made_late_is_not_known_before(store: FeatureStore) -> None:
    noons = [DAY + timedelta(days=day, hours=12) for day in range(6)]
    asked = pd.DataFrame({"user_id": [1] * 6, "event_timestamp": noons})
    found = store.get_historical_features(asked, ["user:posts"]).to_df()
    assert found["posts"].tolist() == [1, 101, 201, 201, 401, 401]


@pytest.mark.parametrize("source", ["files", "spark"])
def test_sources_of_files_and_of_spark_are_read_alike(
    store: FeatureStore, tables: Path, tmp_path: Path, source: str
) -> None:
    read = store if source == "files" else _store(tmp_path / "repo", SPARK, tables, spark_source=True)
    asked = pd.DataFrame({"user_id": [2, 99], "event_timestamp": [DAY + timedelta(days=1)] * 2})
    found = read.get_historical_features(asked, ["user:posts"], full_feature_names=True).to_arrow()
    assert found.column("user__posts").to_pylist() == [102, None]


def test_entity_rows_may_be_sparks(store: FeatureStore, spark: SparkSession) -> None:
    query = "SELECT * FROM VALUES (1L, TIMESTAMP '2024-03-02 00:00:00'), (1L, TIMESTAMP '2024-02-01') AS t(user_id, event_timestamp)"
    for asked in (query, spark.sql(query)):
        job = store.get_historical_features(asked, ["user:posts", "site:visits"])  # type: ignore[arg-type]
        assert isinstance(job, AsofSparkRetrievalJob)
        rows = job.to_spark_df().collect()
        assert sorted((row.posts, row.visits) for row in rows if row.posts) == [(101, 10)]
        assert len(rows) == 2
        metadata = job.metadata
        assert metadata is not None
        assert metadata.min_event_timestamp == datetime(2024, 2, 1, tzinfo=UTC)


def test_instants_that_are_text_are_not_guessed_at(store: FeatureStore) -> None:
    """A cast would read them in the session's time zone."""
    query = "SELECT 1L AS user_id, '2024-03-02 00:00:00' AS event_timestamp"
    with pytest.raises(TypeError, match="'event_timestamp' is string, not timestamps; cast it"):
        store.get_historical_features(query, ["user:posts"])


def test_no_entity_rows_give_no_rows(store: FeatureStore) -> None:
    found = store.get_historical_features(_asked().iloc[:0], FEATURES).to_arrow()
    assert found.num_rows == 0
    assert found.column_names == ["label", "event_timestamp", "user_id", "weight", "posts", "added", "visits"]


def test_without_entity_rows_every_occurrence_is_one(store: FeatureStore) -> None:
    found = store.get_historical_features(
        features=["user:posts"], start_date=DAY, end_date=DAY + timedelta(days=1)
    ).to_df()
    assert sorted(found["posts"]) == [*range(USERS), *range(100, 100 + USERS)]


def test_an_alias_joins_another_column(store: FeatureStore) -> None:
    view = store.get_feature_view("user")
    author = view.with_name("author").with_join_key_map({"user_id": "author_id"})
    store.apply(FeatureService(name="both", features=[author, view.with_name("reader")]))
    asked = pd.DataFrame(
        {"author_id": [3, 4], "user_id": [5, 0], "event_timestamp": [DAY + timedelta(days=2)] * 2}
    )
    found = store.get_historical_features(
        asked, store.get_feature_service("both"), full_feature_names=True
    ).to_df()
    assert found["author__posts"].tolist() == [203, 204]
    assert found["reader__posts"].tolist() == [205, 200]


def test_a_saved_dataset_goes_to_files_and_comes_back(store: FeatureStore, tmp_path: Path) -> None:
    asked = _asked(10)
    job = store.get_historical_features(asked, ["user:posts"])
    storage = SavedDatasetFileStorage(path=str(tmp_path / "saved"))
    saved = store.create_saved_dataset(job, "saved", storage)
    written = ds.dataset(tmp_path / "saved").to_table()
    assert written.column_names == [*asked.columns, "posts"]
    assert written.num_rows == 10
    assert saved.to_df()["posts"].count() == job.to_df()["posts"].count()


def test_file_sources_are_materialized_and_appended_to(
    spark: SparkSession, tables: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    pq.write_table(pq.read_table(tables / "site" / "rows.parquet"), tmp_path / "site" / "rows.parquet")
    (tmp_path / "user").symlink_to(tables / "user")
    store = _store(tmp_path / "repo", SPARK, tmp_path)
    later = pd.DataFrame({"visits": [30], "event_timestamp": [datetime(2024, 3, 4)]})
    store.write_to_offline_store("site", later)
    asked = pd.DataFrame({"event_timestamp": [DAY + timedelta(days=2), DAY + timedelta(days=9)]})
    assert store.get_historical_features(asked, ["site:visits"]).to_df()["visits"].tolist() == [20, 30]
    store.materialize(DAY, DAY + timedelta(days=9), ["user"])
    assert store.get_online_features(["user:posts"], [{"user_id": 3}]).to_dict()["posts"] == [403]


def test_what_is_pushed_lies_in_its_partition_and_is_joined(
    spark: SparkSession, tables: Path, tmp_path: Path
) -> None:
    """A file beside the folders of partitions would never be read."""
    shutil.copytree(tables, tmp_path, dirs_exist_ok=True)
    store = _store(tmp_path / "repo", SPARK, tmp_path)
    late = pd.Timestamp(DAY + timedelta(days=6), unit="ns") + pd.Timedelta(1, "ns")
    rows = {"user_key": 1, "posts": 7.0, "event_timestamp": late, "created": late, "day": "2024-03-07"}
    source = writable(store.get_data_source("u"), tmp_path)
    assert isinstance(source, SparkSource)
    append(spark, pa.Table.from_pylist([rows]), source)
    assert len(list((tmp_path / "user" / "day=2024-03-07").glob("*.parquet"))) == 1
    asked = pd.DataFrame({"user_id": [1, 1], "event_timestamp": [DAY + timedelta(days=d) for d in (4, 7)]})
    assert store.get_historical_features(asked, ["user:posts"]).to_df()["posts"].tolist() == [401, 7]


def test_what_is_pushed_is_refused_where_it_does_not_fit(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    source = SparkSource(name="s", path=str(tmp_path), file_format="parquet")
    for column, says in (
        ("m", "has the columns n, and the rows m"),
        ("n", "'n' holds int32, and the rows int64"),
    ):
        with pytest.raises(ValueError, match=says):
            append(spark, pa.table({column: [2**40]}), source)
    append(spark, pa.table({"n": [2, None]}), source)
    assert sorted(spark.read.parquet(str(tmp_path)).toArrow().column("n").to_pylist(), key=str) == [
        1,
        2,
        None,
    ]


def test_logs_of_served_features_are_written_and_read_back(store: FeatureStore, tmp_path: Path) -> None:
    view = store.get_feature_view("site")
    for path in ("whole", "by_day"):
        destination = FileLoggingDestination(
            path=str(tmp_path / path), partition_by=["__log_date"] if path == "by_day" else None
        )
        service = FeatureService(name=path, features=[view], logging_config=LoggingConfig(destination))
        store.apply(service)
        schema = FeatureServiceLoggingSource(service, "test").get_schema(store.registry)
        for n in (1, 2):
            row = {
                "site__visits": n,
                "__request_id": str(n),
                "__log_timestamp": DAY,
                "__log_date": DAY.date(),
            }
            store.write_logged_features(pa.Table.from_pylist([row], schema), service)
        provider = store._get_provider()
        found = provider.retrieve_feature_service_logs(
            service, DAY - timedelta(days=1), DAY + timedelta(days=1), store.config, store.registry
        ).to_df()
        assert sorted(found["site__visits"]) == [1, 2]
        assert set(schema.names) - {"__log_date"} <= set(found.columns)


def test_what_spark_cannot_read_is_refused_by_name(spark: SparkSession, tables: Path, tmp_path: Path) -> None:
    elsewhere = FileSource(name="far", path="s3://bucket/x", s3_endpoint_override="http://localhost:9000")
    with pytest.raises(ValueError, match=r"far.*fs\.s3a\.endpoint"):
        readable(elsewhere, spark, None)
