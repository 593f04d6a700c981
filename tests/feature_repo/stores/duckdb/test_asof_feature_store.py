"""The as-of join as a user of Feast asks for it: by references, services, aliases and on-demand views."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
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
from feast.errors import FeastEntityDFMissingColumnsError, SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Float64, Int64

from feature_repo.stores.duckdb.job import StreamedRetrievalJob
from feature_repo.stores.duckdb.store import AsofDuckDBOfflineStoreConfig

DAY = datetime(2024, 3, 1, tzinfo=UTC)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
ROOM = Entity(name="room", join_keys=["room_id"], value_type=ValueType.INT64)


def _day(number: int) -> datetime:
    return DAY + timedelta(days=number)


def _source(path: Path, **fields: Any) -> FileSource:
    return FileSource(
        name=path.name,
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field=fields.pop("timestamp_field", "event_timestamp"),
        created_timestamp_column="created",
        **fields,
    )


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A folder of one Parquet file a day, as daily builds leave it."""
    for row in rows:
        folder = path / f"day={row['event_timestamp']:%Y-%m-%d}"
        folder.mkdir(parents=True, exist_ok=True)
        naive = {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()}
        pq.write_table(pa.Table.from_pylist([naive]), folder / f"{len(list(folder.iterdir()))}.parquet")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Users and pairs of a user and a room, a row each on the days 0, 2 and 4, and one that came late."""
    folder = tmp_path_factory.mktemp("repo")
    users = [
        {
            "user_id": u,
            "event_timestamp": _day(d),
            "created": _day(d),
            "score": u + d / 10,
            "posts": 10 * u + d,
        }
        for u in (1, 2)
        for d in (0, 2, 4)
    ]
    users.append({"user_id": 1, "event_timestamp": _day(3), "created": _day(5), "score": 9.9, "posts": 99})
    pairs = [
        {"uid": u, "room": r, "event_timestamp": _day(d), "created": _day(d), "raw": u + 10.0 * r + d / 10}
        for u in (1, 2)
        for r in (1, 2)
        for d in (0, 2)
    ]
    settings = RepoConfig(
        project="asof",
        provider="local",
        registry=RegistryConfig(path=str(folder / "registry.db")),
        offline_store=AsofDuckDBOfflineStoreConfig(threads=1),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    user_view = FeatureView(
        name="users",
        entities=[USER],
        schema=[Field(name="score", dtype=Float64), Field(name="posts", dtype=Int64)],
        source=_source(_write(folder / "users", users)),
        ttl=timedelta(days=3),
    )
    pair_view = FeatureView(
        name="pairs",
        entities=[USER, ROOM],
        schema=[Field(name="score", dtype=Float64)],
        source=_source(
            _write(folder / "pairs", pairs),
            field_mapping={"uid": "user_id", "room": "room_id", "raw": "score"},
        ),
        ttl=timedelta(0),
    )
    everywhere = FeatureView(
        name="everywhere",
        entities=[],
        schema=[Field(name="load", dtype=Float64)],
        source=_source(
            _write(
                folder / "everywhere",
                [{"event_timestamp": _day(d), "created": _day(d), "load": float(d)} for d in (1, 2)],
            )
        ),
    )
    asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])

    @on_demand_feature_view(sources=[user_view, asked], schema=[Field(name="excess", dtype=Float64)])
    def excess(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"excess": inputs["posts"] - inputs["limit"]})

    @on_demand_feature_view(sources=[asked], schema=[Field(name="double", dtype=Float64)])
    def double(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"double": 2 * inputs["limit"]})

    feast = FeatureStore(config=settings)
    feast.apply([USER, ROOM, user_view, pair_view, everywhere, excess, double])
    return feast


def _entities(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_a_folder_of_daily_files_is_joined_and_order_and_repeats_are_kept(store: FeatureStore) -> None:
    entities = _entities(
        label=["d", "c", "b", "a", "d"],
        user_id=[2, 1, 3, 1, 2],
        event_timestamp=[_day(4), _day(1), _day(4), _day(9), _day(4)],
    )
    got = store.get_historical_features(entities, ["users:posts", "users:score"]).to_df()
    assert list(got.columns) == ["label", "user_id", "event_timestamp", "posts", "score"]
    assert list(got["label"]) == ["d", "c", "b", "a", "d"]
    assert got["posts"].fillna(-1).tolist() == [24, 10, -1, -1, 24]


def test_a_row_that_was_created_late_is_joined_from_then_on(store: FeatureStore) -> None:
    days = [2, 3, 4, 5, 6]
    entities = _entities(user_id=[1] * 5, event_timestamp=[_day(d) for d in days])
    got = store.get_historical_features(entities, ["users:posts"]).to_df()
    assert got["posts"].tolist() == [12, 12, 14, 14, 14]


def test_views_with_the_same_feature_names_are_told_apart(store: FeatureStore) -> None:
    entities = _entities(user_id=[2], room_id=[1], event_timestamp=[_day(3)])
    refs = ["users:score", "pairs:score", "everywhere:load"]
    got = store.get_historical_features(entities, refs, full_feature_names=True).to_df()
    assert got.loc[0, ["users__score", "pairs__score", "everywhere__load"]].tolist() == [2.2, 12.2, 2.0]


def test_one_view_under_two_names_and_other_keys(store: FeatureStore) -> None:
    view = store.get_feature_view("pairs")
    own = view.with_name("own")
    swapped = view.with_name("swapped").with_join_key_map({"user_id": "friend_id"})
    service = FeatureService(name="both", features=[own, swapped])
    store.apply([service])
    entities = _entities(user_id=[1, 2], friend_id=[2, 2], room_id=[1, 2], event_timestamp=[_day(0)] * 2)
    got = store.get_historical_features(entities, store.get_feature_service("both"), full_feature_names=True)
    assert got.to_df()[["own__score", "swapped__score"]].to_numpy().tolist() == [[11.0, 12.0], [22.0, 22.0]]


def test_on_demand_features_follow_from_the_joined_ones(store: FeatureStore) -> None:
    entities = _entities(user_id=[2, 1], limit=[4.0, 1.0], event_timestamp=[_day(0), _day(2)])
    got = store.get_historical_features(entities, ["excess:excess", "users:score"]).to_df()
    assert got["excess"].tolist() == [16.0, 11.0]
    assert got["score"].tolist() == [2.0, 1.2]


def test_on_demand_features_of_the_entity_rows_alone(store: FeatureStore) -> None:
    entities = _entities(limit=[4.0, 1.0], event_timestamp=[_day(0), _day(2)])
    assert store.get_historical_features(entities, ["double:double"]).to_df()["double"].tolist() == [8.0, 2.0]


def test_entity_rows_may_be_arrow_or_a_query(store: FeatureStore) -> None:
    refs = ["users:posts"]
    arrow = pa.table({"user_id": [2, 1], "when": pa.array([_day(2), _day(0)])})
    query = "SELECT user_id, TIMESTAMP '2024-03-03' - to_days(n) AS \"when\" FROM (VALUES (2, 0), (1, 2)) t(user_id, n)"
    for rows in (arrow, query):
        assert store.get_historical_features(rows, refs).to_df()["posts"].tolist() == [22, 10]


def test_without_entity_rows_every_key_and_event_of_the_period_is_one(store: FeatureStore) -> None:
    got = store.get_historical_features(
        features=["users:posts"], start_date=_day(1), end_date=_day(2)
    ).to_df()
    assert got[["user_id", "posts"]].to_numpy().tolist() == [[1, 12], [2, 22]]
    with pytest.raises(ValueError, match="different join keys"):
        store.get_historical_features(
            features=["users:posts", "pairs:score"], start_date=_day(1), end_date=_day(2)
        )


def test_no_entity_rows_give_no_rows_with_every_column(store: FeatureStore) -> None:
    entities = _entities(user_id=[], event_timestamp=pd.to_datetime([]))
    got = store.get_historical_features(entities, ["users:posts"]).to_arrow()
    assert (got.num_rows, got.column_names) == (0, ["user_id", "event_timestamp", "posts"])


def test_the_callers_rows_are_not_changed(store: FeatureStore) -> None:
    entities = _entities(user_id=[1], event_timestamp=["2024-03-03T01:00:00+01:00"])
    got = store.get_historical_features(entities, ["users:posts"]).to_df()
    assert got["posts"].tolist() == [12]
    assert entities["event_timestamp"].tolist() == ["2024-03-03T01:00:00+01:00"]


def test_a_key_of_floats_with_a_missing_one_is_of_integers(store: FeatureStore) -> None:
    entities = _entities(user_id=[1.0, None], event_timestamp=[_day(0)] * 2)
    got = store.get_historical_features(entities, ["users:posts"]).to_df()
    assert got["posts"].fillna(-1).tolist() == [10, -1]


@pytest.mark.parametrize(
    ("columns", "refs", "error", "says"),
    [
        ({"user_id": ["1"]}, ["users:posts"], TypeError, "'user_id' is string, while .* hold int64"),
        ({"user_id": [1.5]}, ["users:posts"], TypeError, "has fractions"),
        ({"room_id": [1]}, ["users:posts"], FeastEntityDFMissingColumnsError, "user_id"),
        ({"user_id": [1], "posts": [3]}, ["users:posts"], ValueError, "second column 'posts'"),
    ],
)
def test_rows_that_cannot_be_joined_are_refused_in_words(
    store: FeatureStore, columns: dict[str, Any], refs: list[str], error: type[Exception], says: str
) -> None:
    entities = _entities(event_timestamp=[_day(1)], **columns)
    with pytest.raises(error, match=says):
        store.get_historical_features(entities, refs).to_df()


def test_a_persisted_result_is_replaced_and_holds_on_demand_features(
    store: FeatureStore, tmp_path: Path
) -> None:
    entities = _entities(user_id=[2, 1], limit=[4.0, 1.0], event_timestamp=[_day(0), _day(2)])
    job = store.get_historical_features(entities, ["excess:excess", "users:posts"])
    for name in ("file.parquet", "folder"):
        storage = SavedDatasetFileStorage(path=str(tmp_path / name))
        job.persist(storage)
        with pytest.raises(SavedDatasetLocationAlreadyExists):
            job.persist(storage)
        job.persist(storage, allow_overwrite=True)
        assert pq.read_table(tmp_path / name).select(["user_id", "posts", "excess"]).to_pylist() == [
            {"user_id": 2, "posts": 20, "excess": 16.0},
            {"user_id": 1, "posts": 12, "excess": 11.0},
        ]


def test_a_result_is_streamed_in_order(store: FeatureStore, tmp_path: Path) -> None:
    entities = _entities(
        n=range(5000),
        user_id=[1 + n % 2 for n in range(5000)],
        event_timestamp=[_day(n % 3) for n in range(5000)],
    )
    job = store.get_historical_features(entities, ["users:posts"])
    assert isinstance(job, StreamedRetrievalJob)
    batches = list(job.to_arrow_reader(512))
    assert max(b.num_rows for b in batches) <= 2048
    assert pa.Table.from_batches(batches).equals(job.to_arrow())
    job.persist(SavedDatasetFileStorage(path=str(tmp_path / "rows")))
    assert pq.read_table(tmp_path / "rows").column("n").to_pylist() == list(range(5000))


def test_results_go_to_the_staging_location(store: FeatureStore, tmp_path: Path) -> None:
    job = StreamedRetrievalJob(
        lambda rows: pa.table({"a": [1, 2]}).to_reader(rows), lambda: "", staging_location=str(tmp_path)
    )
    assert job.supports_remote_storage_export()
    (file,) = job.to_remote_storage()
    assert pq.read_table(file).to_pydict() == {"a": [1, 2]}
