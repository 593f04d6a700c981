"""The store behind Feast's interface: times, ttl, changed layouts, damage, deletion, errors."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, PushSource, ValueType
from feast.errors import VersionedOnlineReadNotSupported
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float32, Float64, Int64, PdfBytes, String

from feature_repo.stores.errors import StoreUnavailable, UnsupportedType, ValueMismatch
from feature_repo.stores.packed.keys import entity_key as key_bytes
from feature_repo.stores.packed.keys import row_prefix
from feature_repo.stores.packed.online_store import PackedOnlineStore
from tests.feature_repo.stores.small_repo import (
    PACKED,
    PROJECT,
    entity_key,
    feast_store,
    feature_view,
    item,
    user,
    write,
)
from tests.redis_server import RedisServer

NOW = datetime.now(UTC)
KEY = entity_key(user_id=1)


def _store(tmp_path: Path, online: dict[str, Any], view: FeatureView) -> FeatureStore:
    store = feast_store(tmp_path / "repo", online)
    store.apply([user, item, view])
    return store


def _online(store: FeatureStore) -> PackedOnlineStore:
    online = store._get_provider().online_store
    assert isinstance(online, PackedOnlineStore)
    return online


def _read(store: FeatureStore, view: FeatureView, key: EntityKey = KEY) -> tuple[Any, Any]:
    ((event, values),) = store._get_provider().online_read(store.config, view, [key])
    return event, values


def _number(value: float) -> dict[str, Value]:
    return {"a": Value(float_val=value)}


@pytest.mark.parametrize(
    ("second", "created", "wins"),
    [(0, 0, True), (1, -9, True), (-1, 9, False), (0, -1, False), (0, 1, True), (0, None, False)],
)
def test_an_older_row_never_overwrites_a_newer_one(
    tmp_path: Path, online: dict[str, Any], second: int, created: int | None, wins: bool
) -> None:
    view = feature_view("view", {"a": Float32})
    store = _store(tmp_path, online, view)
    write(store, view, KEY, _number(1), NOW, NOW)
    later = None if created is None else NOW + timedelta(seconds=created)
    write(store, view, KEY, _number(2), NOW + timedelta(seconds=second), later)
    assert _read(store, view)[1]["a"].float_val == (2 if wins else 1)


@pytest.mark.parametrize(("age", "status"), [(-60, "PRESENT"), (60, "OUTSIDE_MAX_AGE")])
def test_values_past_the_ttl_are_null_and_say_so(
    tmp_path: Path, online: dict[str, Any], age: int, status: str
) -> None:
    view = feature_view("view", {"a": Float32}, ttl=timedelta(days=1))
    store = _store(tmp_path, online, view)
    event = datetime.now(UTC) - timedelta(days=1, seconds=age)
    write(store, view, KEY, _number(7), event)
    response = store.get_online_features(["view:a"], {"user_id": [1, 2]})
    (column,) = (
        c for c in response.proto.results if len(c.values) and c.values[0].WhichOneof("val") != "int64_val"
    )
    names = [FieldStatus.Name(s) for s in column.statuses]
    assert names == [status, "NOT_FOUND"]
    assert column.event_timestamps[0].ToDatetime(UTC) == event
    expired = status == "OUTSIDE_MAX_AGE"
    assert response.to_dict()["a"] == [None if expired else 7, None]
    assert _read(store, view) == ((None, None) if expired else (event, _number(7)))


def test_no_ttl_never_expires_and_enforcing_can_be_turned_off(tmp_path: Path) -> None:
    for n, (ttl, extra) in enumerate([(timedelta(0), {}), (timedelta(days=1), {"enforce_ttl": False})]):
        view = feature_view("view", {"a": Float32}, ttl=ttl)
        store = _store(tmp_path / str(n), {"type": PACKED, "path": "online", **extra}, view)
        write(store, view, KEY, _number(7), NOW - timedelta(days=900))
        assert store.get_online_features(["view:a"], {"user_id": [1]}).to_dict()["a"] == [7]


def test_columns_are_matched_when_the_layout_changes(tmp_path: Path, online: dict[str, Any]) -> None:
    before = feature_view("view", {"a": Float32, "b": Int64, "gone": String})
    store = _store(tmp_path, online, before)
    values = {"a": Value(float_val=1.5), "b": Value(int64_val=2), "gone": Value(string_val="x")}
    write(store, before, KEY, values, NOW)
    after = feature_view("view", {"new": Array(Int64), "b": Float64, "a": Float32})  # b is retyped
    reopened = _store(tmp_path, online, after)
    event, read = _read(reopened, after)
    assert event == NOW
    assert {name: value.WhichOneof("val") for name, value in read.items()} == {
        "new": None,
        "b": None,
        "a": "float_val",
    }
    assert read["a"].float_val == 1.5
    write(reopened, after, KEY, {"b": Value(double_val=0.5)}, NOW + timedelta(seconds=1))
    assert _read(reopened, after)[1]["a"].float_val == 1.5  # a row of some columns keeps the others


@pytest.mark.parametrize("damage", ["cut", "long", "head", "format", "empty"])
def test_a_damaged_row_is_absent_counted_and_logged_by_view(
    tmp_path: Path, online: dict[str, Any], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    view = feature_view("view", {"a": Float32, "s": String})
    store = _store(tmp_path, online, view)
    for user_id in (1, 2):
        write(store, view, entity_key(user_id=user_id), {**_number(1), "s": Value(string_val="abc")}, NOW)
    backend = _online(store).backend(store.config)
    place = key_bytes(row_prefix(PROJECT, "view", ["user_id"]), "view", KEY)
    (row,) = backend.read([place])
    assert row is not None
    damaged = {"cut": row[:-1], "long": row + b"x", "head": row[:1] + bytes(7) + row[8:], "empty": b""}
    backend.put(place, damaged.get(damage, b"\x09" + row[1:]))
    answer = store.get_online_features(["view:a"], {"user_id": [1, 2]}).to_dict()
    assert answer["a"] == [None, 1]
    assert _online(store).corrupt == {"view": 1}
    assert "feature view view" in caplog.text


def test_deleting_a_view_leaves_the_others(tmp_path: Path, online: dict[str, Any]) -> None:
    kept, dropped = feature_view("kept", {"a": Float32}), feature_view("dropped", {"a": Float32})
    store = _store(tmp_path, online, kept)
    store.apply([dropped])
    for view in (kept, dropped):
        write(store, view, KEY, _number(1), NOW)
    store.apply([user, kept], objects_to_delete=[dropped], partial=False)
    assert _read(store, dropped) == (None, None)
    assert _read(store, kept)[1] == _number(1)
    store.teardown()
    assert _read(store, kept) == (None, None)


def test_apply_refuses_a_type_and_changes_nothing(tmp_path: Path, online: dict[str, Any]) -> None:
    store = feast_store(tmp_path / "repo", online)
    with pytest.raises(
        UnsupportedType, match=r"feature view papers: field scans has the type Array\(PdfBytes\)"
    ):
        store._get_provider().online_store.update(
            store.config, [], [feature_view("papers", {"scans": Array(PdfBytes)})], [], [], partial=True
        )
    assert store.list_feature_views() == []


def test_an_integer_where_text_was_declared(tmp_path: Path, online: dict[str, Any]) -> None:
    """Nothing is found, and nothing else's row: the types of keys are part of them."""
    named = Entity(name="named", join_keys=["name"], value_type=ValueType.STRING)
    view = feature_view("view", {"a": Float32}, [named])
    store = _store(tmp_path, online, view)
    write(store, view, EntityKey(join_keys=["name"], entity_values=[Value(string_val="1")]), _number(1), NOW)
    assert _read(store, view, entity_key(name=1)) == (None, None)
    with pytest.raises(ValueMismatch, match="feature view view: join key name is null"):
        _read(store, view, EntityKey(join_keys=["name"], entity_values=[Value()]))


def test_push_and_write_reach_it(tmp_path: Path, online: dict[str, Any]) -> None:
    batch = feature_view("view", {"a": Float32})
    source = PushSource(name="pushed", batch_source=batch.batch_source)
    view = FeatureView(name="view", entities=[user], schema=batch.schema, source=source)
    store = _store(tmp_path, online, view)
    frame = pd.DataFrame({"user_id": [1, 2], "a": [1.5, None], "event_timestamp": NOW, "created": NOW})
    store.push("pushed", frame)
    assert store.get_online_features(["view:a"], {"user_id": [1, 2, 3]}).to_dict()["a"] == [1.5, None, None]
    store.write_to_online_store("view", frame.assign(a=[2.5, 3.5], created=NOW + timedelta(seconds=1)))
    assert store.get_online_features(["view:a"], {"user_id": [1, 2]}).to_dict()["a"] == [2.5, 3.5]


def test_the_async_paths_do_the_same(tmp_path: Path, online: dict[str, Any]) -> None:
    view = feature_view("view", {"a": Float32})
    store = _store(tmp_path, online, view)
    packed = _online(store)

    async def work() -> tuple[Any, Any]:
        await packed.online_write_batch_async(store.config, view, [(KEY, _number(4), NOW, None)], None)
        rows = await packed.online_read_async(store.config, view, [KEY])
        answer = await store.get_online_features_async(["view:a"], [{"user_id": 1}, {"user_id": 2}])
        await packed.close()
        return rows, answer.to_dict()

    rows, answer = asyncio.run(work())
    assert packed.async_supported.read
    assert packed.async_supported.write
    assert rows == [(NOW, _number(4))]
    assert answer["a"] == [4, None]


def test_progress_is_told(tmp_path: Path, online: dict[str, Any]) -> None:
    view = feature_view("view", {"a": Float32})
    store = _store(tmp_path, online, view)
    told: list[int] = []
    data = [(entity_key(user_id=n), _number(n), NOW, None) for n in range(3)]
    _online(store).online_write_batch(store.config, view, data, told.append)
    assert told == [3]


def test_a_versioned_read_is_feasts_own_error(tmp_path: Path, online: dict[str, Any]) -> None:
    view = feature_view("view", {"a": Float32})
    store = _store(tmp_path, online, view)
    view.projection.version_tag = 2
    with pytest.raises(VersionedOnlineReadNotSupported):
        _online(store)._check_versioned_read_support([(view, ["a"])])


def test_redis_gone_in_the_middle_of_a_write_resumes(tmp_path: Path, own_redis: RedisServer) -> None:
    view = feature_view("view", {"a": Float32})
    online = {"type": PACKED, "backend": "redis", "port": own_redis.port}
    store = _store(tmp_path, online, view)
    write(store, view, KEY, _number(1), NOW)
    own_redis.stop()
    with pytest.raises(StoreUnavailable, match="Redis at localhost"):
        write(store, view, KEY, _number(2), NOW)
    with pytest.raises(StoreUnavailable, match="Redis at localhost"):
        store.get_online_features(["view:a"], {"user_id": [1]})
    own_redis.start()
    write(store, view, KEY, _number(2), NOW)
    assert store.get_online_features(["view:a"], {"user_id": [1]}).to_dict()["a"] == [2]
