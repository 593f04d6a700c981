"""Feast's own DuckDB store beside ours: equal where it is right; and a list of where it is not (feast 0.67).

A case of the second kind fails on the day that Feast is right as well: strike it out then.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from feast.data_format import ParquetFormat
from feast.entity import Entity
from feast.feature_view import FeatureView
from feast.field import Field
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.registry import Registry
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Float64, Int64
from feast.value_type import ValueType
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.duckdb.store import AsofDuckDBOfflineStore, AsofDuckDBOfflineStoreConfig

DAY = datetime(2024, 3, 1, tzinfo=UTC)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
ROOM = Entity(name="room", join_keys=["room_id"], value_type=ValueType.INT64)
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")


Asked = tuple[list[FeatureView], list[str], pd.DataFrame, Registry, str]


@dataclass(frozen=True)
class Pair:
    """Feast's store and ours over one table."""

    folder: Path

    def view(
        self, rows: pa.Table, *features: str, keys: tuple[Entity, ...] = (USER,), days: int = 0
    ) -> FeatureView:
        """Write the table, and declare a view of it."""
        path = self.folder / "rows.parquet"
        pq.write_table(rows, path)
        source = FileSource(
            path=str(path),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created" if "created" in rows.column_names else "",
        )
        view = FeatureView(
            name="view",
            entities=list(keys),
            schema=[Field(name=f, dtype=Int64 if f == "n" else Float64) for f in features]
            + [Field(name=k.join_key, dtype=Int64) for k in keys],
            source=source,
            ttl=timedelta(days=days),
        )
        view.entity_columns = [Field(name=k.join_key, dtype=Int64) for k in keys]
        return view

    def stock(self, view: FeatureView, rows: pd.DataFrame, **options: bool) -> RetrievalJob:
        """Feast's own."""
        config = self._config(DuckDBOfflineStoreConfig())
        return DuckDBOfflineStore.get_historical_features(config, *self._asked(view, rows, config), **options)

    def ours(
        self, view: FeatureView, rows: pd.DataFrame, *, always: bool = True, asked_to: bool = False
    ) -> RetrievalJob:
        """Ours; ``always`` is its setting ``filter_by_created_timestamp``, ``asked_to`` the argument of that name."""
        config = self._config(AsofDuckDBOfflineStoreConfig(threads=1, filter_by_created_timestamp=always))
        asked = self._asked(view, rows, config)
        return AsofDuckDBOfflineStore.get_historical_features(
            config, *asked, filter_by_created_timestamp=asked_to
        )

    def _asked(self, view: FeatureView, rows: pd.DataFrame, config: RepoConfig) -> Asked:
        refs = [f"{view.projection.name_to_use()}:{f.name}" for f in view.features]
        return [view], refs, rows, Registry("stock", config.registry, None), "stock"

    def _config(self, offline_store: DuckDBOfflineStoreConfig) -> RepoConfig:
        return RepoConfig(
            project="stock",
            provider="local",
            registry=RegistryConfig(path=str(self.folder / "registry.db")),
            offline_store=offline_store,
            entity_key_serialization_version=3,
            repo_path=self.folder,
        )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("stock"))


def _rows(**columns: Any) -> pa.Table:
    return pa.table(columns)


def _asked(days: list[int], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns | {"event_timestamp": [DAY + timedelta(days=d) for d in days]})


def _days(*days: int) -> pa.Array:
    return pa.array([DAY.replace(tzinfo=None) + timedelta(days=d) for d in days])


rows_in_time = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.floats(0, 1) | st.just(float("nan"))),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=25)
@given(
    rows_in_time,
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 12)), min_size=1, max_size=20),
    st.integers(0, 4),
)
def test_equal_where_rows_are_distinct_and_in_time(
    pair: Pair, rows: list[tuple[int, int, float]], asked: list[tuple[int, int]], days: int
) -> None:
    table = _rows(
        user_id=[r[0] for r in rows],
        event_timestamp=_days(*(r[1] for r in rows)),
        created=_days(*(r[1] for r in rows)),
        value=[r[2] for r in rows],
    )
    view = pair.view(table, "value", days=days)
    entities = _asked([a[1] for a in asked], user_id=[a[0] for a in asked], position=range(len(asked)))
    stock = pair.stock(view, entities.copy()).to_df().sort_values("position", ignore_index=True)
    pd.testing.assert_frame_equal(pair.ours(view, entities).to_df(), stock, check_dtype=False)


def test_stock_joins_a_row_before_it_was_known(pair: Pair) -> None:
    table = _rows(user_id=[1, 1], event_timestamp=_days(0, 2), created=_days(0, 5), n=[1, 2])
    view, entities = pair.view(table, "n"), _asked([3], user_id=[1])
    assert pair.stock(view, entities).to_df()["n"].tolist() == [2]
    assert pair.ours(view, entities).to_df()["n"].tolist() == [1]


def test_both_join_a_late_row_where_that_is_left_to_the_caller(pair: Pair) -> None:
    table = _rows(user_id=[1, 1], event_timestamp=_days(0, 2), created=_days(0, 5), n=[1, 2])
    view, entities = pair.view(table, "n"), _asked([3], user_id=[1])
    for filtered, expected in ((False, 2), (True, 1)):
        for job in (
            pair.stock(view, entities.copy(), filter_by_created_timestamp=filtered),
            pair.ours(view, entities, always=False, asked_to=filtered),
        ):
            assert job.to_df()["n"].tolist() == [expected]


def test_stock_loses_rows_of_unknown_creation_once_it_is_told_to_look_at_it(pair: Pair) -> None:
    table = _rows(user_id=[1], event_timestamp=_days(0), created=pa.array([None], pa.timestamp("us")), n=[1])
    view, entities = pair.view(table, "n"), _asked([3], user_id=[1])
    assert pair.stock(view, entities, filter_by_created_timestamp=True).to_df()["n"].isna().all()
    assert pair.ours(view, entities).to_df()["n"].tolist() == [1]


def test_stock_forgets_the_keys_that_a_join_key_map_does_not_name(pair: Pair) -> None:
    table = _rows(
        user_id=[1, 1], room_id=[1, 2], event_timestamp=_days(0, 1), created=_days(0, 1), n=[11, 12]
    )
    view = (
        pair.view(table, "n", keys=(USER, ROOM))
        .with_name("friends")
        .with_join_key_map({"user_id": "friend_id"})
    )
    entities = _asked([3], friend_id=[1], room_id=[1])
    assert pair.stock(view, entities).to_df()["n"].tolist() == [12]
    assert pair.ours(view, entities).to_df()["n"].tolist() == [11]


def test_stock_cannot_read_a_feature_whose_name_ends_like_its_own(pair: Pair) -> None:
    table = _rows(user_id=[1], event_timestamp=_days(0), created=_days(0), position_y=[0.5])
    view, entities = pair.view(table, "position_y"), _asked([3], user_id=[1])
    with pytest.raises(Exception, match="position_y"):
        pair.stock(view, entities).to_df()
    assert pair.ours(view, entities).to_df()["position_y"].tolist() == [0.5]


def test_stock_changes_the_callers_rows(pair: Pair) -> None:
    table = _rows(user_id=[1], event_timestamp=_days(0), created=_days(0), n=[5])
    view = pair.view(table, "n")
    for job, changed in ((pair.stock, True), (pair.ours, False)):
        entities = pd.DataFrame({"user_id": [1], "event_timestamp": ["2024-03-02"]})
        assert job(view, entities).to_df()["n"].tolist() == [5]
        assert (entities["event_timestamp"].tolist() != ["2024-03-02"]) == changed


def test_stock_doubles_what_it_overwrites(pair: Pair, tmp_path: Path) -> None:
    table = _rows(user_id=[1], event_timestamp=_days(0), created=_days(0), n=[5])
    view, entities = pair.view(table, "n"), _asked([3], user_id=[1])
    for name, job, expected in (("stock", pair.stock, 2), ("ours", pair.ours, 1)):
        storage = SavedDatasetFileStorage(path=str(tmp_path / name))
        job(view, entities).persist(storage)
        job(view, entities).persist(storage, allow_overwrite=True)
        assert pq.read_table(tmp_path / name).num_rows == expected


@pytest.fixture
def tokyo() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_stock_takes_the_bounds_of_a_materialization_for_local_time(pair: Pair) -> None:
    table = _rows(user_id=[1], event_timestamp=_days(0), created=_days(0), n=[5])
    view = pair.view(table, "n")
    pulled = (view.batch_source, ["user_id"], ["n"], "event_timestamp", "created")
    bounds = (DAY.replace(tzinfo=None), DAY.replace(tzinfo=None) + timedelta(hours=1))
    stock = pair._config(DuckDBOfflineStoreConfig())
    ours = pair._config(AsofDuckDBOfflineStoreConfig())
    assert (
        DuckDBOfflineStore.pull_latest_from_table_or_query(stock, *pulled, *bounds).to_arrow().num_rows == 0
    )
    assert (
        AsofDuckDBOfflineStore.pull_latest_from_table_or_query(ours, *pulled, *bounds).to_arrow().num_rows
        == 1
    )
