"""The same writes to Feast's SQLite store and to ours give the same reads through Feast."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from feast import FeatureStore, FeatureView
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feature_repo.stores.packed.feast_values import FIELDS, rows
from tests.feature_repo.stores.small_repo import PACKED, entity_key, feast_store, feature_view, item, user
from tests.redis_server import RedisServer

NAMES = list(FIELDS)
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)  # Feast's store drops parts of seconds


@dataclass
class Pair:
    """Feast's store, ours, and the view that both hold."""

    stock: FeatureStore
    ours: FeatureStore
    view: FeatureView
    clock: Iterator[int] = field(default_factory=count)

    def write(self, ids: tuple[int, int], values: dict[str, Value]) -> None:
        """One row to both, later than all before: of an older one Feast's store lets the values overwrite."""
        event = START + timedelta(seconds=next(self.clock))
        data = [(entity_key(user_id=ids[0], item_id=ids[1]), values, event, event)]
        for store in (self.stock, self.ours):
            store._get_provider().online_write_batch(store.config, self.view, data, None)

    def read(self, store: FeatureStore, ids: list[tuple[int, int]], fields: list[str]) -> Any:
        """Feast's answer as a message, in which also the order of a map's entries does not count."""
        refs = [f"{self.view.name}:{name}" for name in fields]
        given = {"user_id": [u for u, _ in ids], "item_id": [i for _, i in ids]}
        return store.get_online_features(refs, given).proto.SerializeToString(deterministic=True)


@pytest.fixture(scope="module", params=["lmdb", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A view of every Feast type in both stores."""
    folder: Path = tmp_path_factory.mktemp("pair")
    online: dict[str, Any] = {"type": PACKED, "path": "online"}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("running_redis")
        redis.Redis(port=server.port, db=5).flushdb()
        online = {"type": PACKED, "backend": "redis", "port": server.port, "db": 5}
    stock = feast_store(folder / "stock", {"type": "sqlite", "path": "online.db"})
    ours = feast_store(folder / "ours", online)
    view = feature_view("everything", {name: type_ for name, (type_, _) in FIELDS.items()}, [user, item])
    for store in (stock, ours):
        store.apply([user, item, view])
    return Pair(stock, ours, stock.get_feature_view("everything"))


_IDS = st.tuples(st.integers(-2, 2), st.integers(0, 1))


@given(
    writes=st.lists(st.tuples(_IDS, rows, st.sets(st.sampled_from(NAMES), max_size=3)), max_size=4),
    asked=st.lists(_IDS, min_size=1, max_size=5),
    fields=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
)
@settings(max_examples=25, deadline=None)
def test_reads_are_the_same(
    pair: Pair,
    writes: list[tuple[tuple[int, int], dict[str, Value], set[str]]],
    asked: list[tuple[int, int]],
    fields: list[str],
) -> None:
    for ids, values, _ in writes:
        pair.write(ids, values)
    expected = pair.read(pair.stock, asked, fields)
    assert pair.read(pair.ours, asked, fields) == expected


@given(first=rows, second=rows, given_=st.sets(st.sampled_from(NAMES), min_size=1))
@settings(max_examples=15, deadline=None)
def test_a_row_of_some_columns_keeps_the_others(
    pair: Pair, first: dict[str, Value], second: dict[str, Value], given_: set[str]
) -> None:
    """The row's time then is the last writer's; Feast's store gives that of a column."""
    ids = (9, 9)
    pair.write(ids, first)
    pair.write(ids, {name: value for name, value in second.items() if name in given_})
    key = [entity_key(user_id=9, item_id=9)]
    ((_, stock),) = pair.stock._get_provider().online_read(pair.stock.config, pair.view, key)
    ((_, ours),) = pair.ours._get_provider().online_read(pair.ours.config, pair.view, key)
    assert {name: value.SerializeToString(deterministic=True) for name, value in ours.items()} == {
        name: value.SerializeToString(deterministic=True) for name, value in stock.items()
    }
