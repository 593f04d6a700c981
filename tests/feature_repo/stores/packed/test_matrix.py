"""The matrix equals what Feast answers, column by column, and NaN where it must be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.errors import StoreError, StoreUnavailable, UnknownName, UnsupportedType
from feature_repo.stores.packed.decoding import RowCounts
from feature_repo.stores.packed.keys import entity_key as key_bytes
from feature_repo.stores.packed.keys import row_prefix
from feature_repo.stores.packed.matrix import MatrixReader
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
FLOATS = {"a": Float32, "b": Float32}
MIXED = {
    "n": Int64,
    "c": Float32,
    "flag": Bool,
    "d": Float64,
    "text": String,
    "at": UnixTimestamp,
    "k": Int32,
}
FIELD = {"a": "float_val", "b": "float_val", "c": "float_val", "n": "int64_val", "flag": "bool_val"} | {
    "d": "double_val",
    "text": "string_val",
    "at": "unix_timestamp_val",
    "k": "int32_val",
}
users = feature_view("users", FLOATS)
items = feature_view("items", FLOATS, [item])
pairs = feature_view("pairs", MIXED, [user, item])


def _message(values: dict[str, Any]) -> dict[str, Value]:
    return {
        name: Value() if value is None else Value(**{FIELD[name]: value}) for name, value in values.items()
    }


def _store(tmp_path: Path, online: dict[str, Any], *objects: Any) -> FeatureStore:
    store = feast_store(tmp_path / "repo", online)
    store.apply([user, item, *objects])
    return store


def _three(tmp_path: Path, online: dict[str, Any]) -> FeatureStore:
    service = FeatureService(
        name="s", features=[pairs[["k", "d", "n", "c", "flag", "at"]], users, items[["b"]]]
    )
    return _store(tmp_path, online, users, items, pairs, service)


_ROW = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-1000, 1000),
        "c": st.none() | st.floats(width=32),
        "flag": st.none() | st.booleans(),
        "d": st.none() | st.floats(-1e30, 1e30),
        "text": st.none() | st.text("aé", max_size=4),
        "at": st.none() | st.integers(0, 1000),
        "k": st.none() | st.integers(-9, 9),
    }
)


@given(
    rows=st.dictionaries(st.integers(-5, 5), _ROW, max_size=6),
    candidates=st.lists(st.integers(-5, 5), max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_values_are_those_that_feast_answers(
    matrix_repo: FeatureStore, rows: dict[int, Any], candidates: list[int]
) -> None:
    for item_id, values in rows.items():
        write(matrix_repo, pairs, entity_key(user_id=7, item_id=item_id), _message(values), NOW)
    reader = MatrixReader.of_store(matrix_repo, "s")
    matrix = reader.read({"user_id": 7}, np.array(candidates, np.int64), "item_id", datetime.now(UTC))
    assert matrix.values.dtype == np.float32
    assert matrix.values.flags.c_contiguous
    assert matrix.values.shape == (len(candidates), len(matrix.names))
    if candidates:
        asked = {"user_id": [7] * len(candidates), "item_id": candidates}
        answer = matrix_repo.get_online_features(
            matrix_repo.get_feature_service("s"), asked, full_feature_names=True
        ).to_dict()
        columns = [[_number(value) for value in answer[name]] for name in matrix.names]
        expected = np.array(columns, np.float64).T
        np.testing.assert_array_equal(matrix.values, expected.astype(np.float32))


def _number(value: Any) -> Any:
    """Feast answers instants as datetimes."""
    return value.timestamp() if isinstance(value, datetime) else value


@pytest.fixture(scope="module")
def matrix_repo(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """The three views over LMDB with a user and an item."""
    store = _three(tmp_path_factory.mktemp("matrix"), {"type": PACKED, "path": "online"})
    write(store, users, entity_key(user_id=7), _message({"a": 1.5, "b": None}), NOW)
    write(store, items, entity_key(item_id=0), _message({"a": 2.5, "b": 3.5}), NOW)
    return store


def test_columns_are_in_the_order_of_the_service(tmp_path: Path, online: dict[str, Any]) -> None:
    store = _three(tmp_path, online)
    names = ("pairs__k", "pairs__d", "pairs__n", "pairs__c", "pairs__flag", "pairs__at")
    reader = MatrixReader.of_store(store, "s")
    assert reader.names == (*names, "users__a", "users__b", "items__b")
    write(store, users, entity_key(user_id=7), _message({"a": 1.5, "b": 2.5}), NOW)
    write(store, items, entity_key(item_id=4), _message({"a": 8.0, "b": 9.0}), NOW)
    matrix = reader.read({"user_id": 7}, np.array([3, 4, 4], np.int64), "item_id", NOW)
    nan = np.nan
    np.testing.assert_array_equal(matrix.values[:, -3:], [[1.5, 2.5, nan], [1.5, 2.5, 9], [1.5, 2.5, 9]])
    assert matrix.counts == {
        "pairs": RowCounts(asked=3, missing=3),
        "users": RowCounts(asked=1),
        "items": RowCounts(asked=3, missing=1),
    }


@pytest.mark.parametrize(
    ("microseconds", "counts"),
    [
        (0, RowCounts(asked=2)),
        (-1, RowCounts(asked=2, future=2)),
        (8 * 86_400_000_000, RowCounts(asked=2)),
        (8 * 86_400_000_000 + 1, RowCounts(asked=2, expired=2)),
    ],
    ids=["at its time", "before it was known", "as old as the ttl", "older"],
)
def test_rows_count_from_their_time_to_their_ttl(
    tmp_path: Path, online: dict[str, Any], microseconds: int, counts: RowCounts
) -> None:
    store = _store(tmp_path, online, users, FeatureService(name="s", features=[users]))
    for n in (1, 2):
        write(store, users, entity_key(user_id=n), _message({"a": 1.0, "b": 2.0}), NOW)
    reader = MatrixReader.of_store(store, "s")
    as_of = NOW + timedelta(microseconds=microseconds)
    matrix = reader.read({}, np.array([1, 2], np.int64), "user_id", as_of)
    assert matrix.counts == {"users": counts}
    assert np.isnan(matrix.values).all() == bool(counts.expired or counts.future)


def test_aliases_and_join_key_maps(tmp_path: Path, online: dict[str, Any]) -> None:
    """One view twice: of the user who asks and of a user who is a candidate."""
    peer = users.with_name("peers").with_join_key_map({"user_id": "peer_id"})
    store = _store(
        tmp_path, online, users, FeatureService(name="s", features=[users[["a"]], peer[["b", "a"]]])
    )
    for n in (1, 2):
        write(store, users, entity_key(user_id=n), _message({"a": 10.0 * n, "b": float(n)}), NOW)
    matrix = MatrixReader.of_store(store, "s").read({"user_id": 1}, np.array([2, 1]), "peer_id", NOW)
    assert matrix.names == ("users__a", "peers__b", "peers__a")
    np.testing.assert_array_equal(matrix.values, [[10, 2, 20], [10, 1, 10]])


def test_a_view_without_entities_is_broadcast(tmp_path: Path, online: dict[str, Any]) -> None:
    world = feature_view("world", FLOATS, [])
    store = _store(tmp_path, online, world, users, FeatureService(name="s", features=[world, users]))
    nobody = entity_key()
    nobody.join_keys.append("__dummy_id")
    nobody.entity_values.append(Value(string_val=""))
    write(store, world, nobody, _message({"a": 1.0, "b": 2.0}), NOW)
    matrix = MatrixReader.of_store(store, "s").read({}, np.array([5, 6]), "user_id", NOW)
    np.testing.assert_array_equal(matrix.values[:, :2], [[1, 2], [1, 2]])
    assert store.get_online_features(["world:a"], {"user_id": [5]}).to_dict()["a"] == [1]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"a": Float32, "b": Float32, "new": Float32}, [1, 2, np.nan]),
        ({"b": Float32}, [2]),
        ({"b": Float32, "a": Float32}, [2, 1]),
        ({"a": Int64, "b": Float32}, [np.nan, 2]),
    ],
    ids=["added", "removed", "reordered", "retyped"],
)
def test_a_changed_layout_is_never_read_shifted(
    tmp_path: Path, online: dict[str, Any], after: dict[str, Any], expected: list[float]
) -> None:
    store = _store(tmp_path, online, users)
    for n in (1, 2):
        write(store, users, entity_key(user_id=n), _message({"a": 1.0, "b": 2.0}), NOW)
    changed = feature_view("users", after)
    # Feast takes a new order for no change, and keeps the old one in its registry: so the registry is a new one.
    reopened = _store(tmp_path / "after", online, changed, FeatureService(name="s", features=[changed]))
    write(reopened, changed, entity_key(user_id=3), dict.fromkeys(after, Value()), NOW)
    matrix = MatrixReader.of_store(reopened, "s").read({}, np.array([1, 3, 2]), "user_id", NOW)
    np.testing.assert_array_equal(matrix.values, [expected, [np.nan] * len(after), expected])
    assert matrix.counts == {"users": RowCounts(asked=3, other_layout=2)}


@pytest.mark.parametrize("fields", [FLOATS, {"a": Float32, "text": String}], ids=["fixed", "variable"])
def test_a_damaged_row_is_nan_and_the_read_goes_on(
    tmp_path: Path, online: dict[str, Any], fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    view = feature_view("users", fields)
    store = _store(tmp_path, online, view, FeatureService(name="s", features=[view[["a"]]]))
    values = _message({"a": 1.0, "b": 2.0, "text": "héllo"})
    for n in range(6):
        write(store, view, entity_key(user_id=n), {k: values[k] for k in fields}, NOW)
    online_store = store._get_provider().online_store
    assert isinstance(online_store, PackedOnlineStore)
    backend = online_store.backend(store.config)
    places = [
        key_bytes(row_prefix(PROJECT, "users", ["user_id"]), "users", entity_key(user_id=n)) for n in range(6)
    ]
    rows = backend.read(places)
    for place, row, damage in zip(places, rows, (0, 1, 2, 3, 4), strict=False):
        assert row is not None
        backend.put(
            place,
            (row[:20], row + b"x", b"\x63" + row[1:], row[:-1], row[:-1] + bytes([row[-1] ^ 8]))[damage],
        )
    matrix = MatrixReader.of_store(store, "s").read({}, np.arange(6), "user_id", NOW)
    np.testing.assert_array_equal(matrix.values[:, 0], [np.nan] * 5 + [1])
    assert matrix.counts == {"users": RowCounts(asked=6, corrupt=5)}
    assert "feature view users: 5 stored rows are damaged" in caplog.text


def test_lists_of_one_key(tmp_path: Path, online: dict[str, Any]) -> None:
    fields = {"near": Array(Int64), "far": Array(Int64), "none": Array(Int64), "text": String}
    view = feature_view("found", fields, ttl=timedelta(days=1))
    store = _store(tmp_path, online, users, view, FeatureService(name="s", features=[users]))
    row = {name: Value() for name in fields}
    row["near"].int64_list_val.val.extend([3, -(2**63), 2**63 - 1])
    row["far"].int64_list_val.SetInParent()
    row["text"].string_val = "between"
    write(store, view, entity_key(user_id=1), row, NOW)
    reader = MatrixReader.of_store(store, "s")
    got = reader.lists("found", ["none", "far", "near"], {"user_id": 1}, NOW)
    assert got["none"] is None
    assert got["far"] is not None
    assert got["far"].tolist() == []
    assert got["near"] is not None
    assert got["near"].tolist() == [3, -(2**63), 2**63 - 1]
    absent = {"near": None}
    assert reader.lists("found", ["near"], {"user_id": 2}, NOW) == absent
    assert reader.lists("found", ["near"], {"user_id": 1}, NOW + timedelta(days=1, microseconds=1)) == absent
    assert reader.lists("found", ["near"], {"user_id": 1}, NOW - timedelta(microseconds=1)) == absent


def test_what_is_unknown_is_named(tmp_path: Path, online: dict[str, Any]) -> None:
    store = _store(tmp_path, online, users, FeatureService(name="s", features=[users]))
    with pytest.raises(UnknownName, match="no feature service other; known: s"):
        MatrixReader.of_store(store, "other")
    reader = MatrixReader.of_store(store, "s")
    with pytest.raises(
        UnknownName, match="feature view users needs the key user_id; the request has item_id"
    ):
        reader.read({}, np.array([1]), "item_id", NOW)
    with pytest.raises(UnknownName, match="no feature view nothing; known: users"):
        reader.lists("nothing", ["a"], {}, NOW)
    with pytest.raises(UnknownName, match="feature view users has no feature z; it has a, b"):
        reader.lists("users", ["z"], {}, NOW)
    with pytest.raises(UnsupportedType, match="feature view users: a is FLOAT, not INT64_LIST"):
        reader.lists("users", ["a"], {}, NOW)


def test_what_no_matrix_can_hold_is_refused(tmp_path: Path, online: dict[str, Any]) -> None:
    named = Entity(name="named", join_keys=["name"], value_type=ValueType.STRING)
    by_name = FeatureView(
        name="by_name",
        entities=[named],
        schema=feature_view("x", FLOATS, []).schema,
        source=users.batch_source,
    )
    store = _store(
        tmp_path,
        online,
        named,
        pairs,
        by_name,
        FeatureService(name="texts", features=[pairs]),
        FeatureService(name="names", features=[by_name]),
    )
    with pytest.raises(UnsupportedType, match="feature view pairs: text is STRING"):
        MatrixReader.of_store(store, "texts")
    with pytest.raises(UnsupportedType, match="feature view by_name: its join key name is declared STRING"):
        MatrixReader.of_store(store, "names")


def test_another_online_store_is_refused(tmp_path: Path) -> None:
    store = _store(
        tmp_path, {"type": "sqlite", "path": "x.db"}, users, FeatureService(name="s", features=[users])
    )
    with pytest.raises(StoreError, match="the online store is sqlite"):
        MatrixReader.of_store(store, "s")


def test_redis_gone_is_a_typed_error(tmp_path: Path, own_redis: RedisServer) -> None:
    online = {"type": PACKED, "backend": "redis", "port": own_redis.port}
    store = _store(tmp_path, online, users, FeatureService(name="s", features=[users]))
    reader = MatrixReader.of_store(store, "s")
    own_redis.stop()
    with pytest.raises(StoreUnavailable, match="Redis at localhost"):
        reader.read({}, np.array([1]), "user_id", NOW)
    own_redis.start()
    assert np.isnan(reader.read({}, np.array([1]), "user_id", NOW).values).all()
