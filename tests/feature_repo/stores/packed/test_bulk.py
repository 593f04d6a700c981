"""Arrow batches to rows: the same as Feast's own conversion makes of them, value for value."""

from datetime import UTC, date, datetime
from decimal import Decimal as Number
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    UnixTimestamp,
    Uuid,
)
from feast.utils import _convert_arrow_to_proto
from feast.value_type import ValueType
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.errors import ValueMismatch
from feature_repo.stores.packed.bulk import Table, pack_batch
from feature_repo.stores.packed.keys import entity_key, row_prefix
from feature_repo.stores.packed.layout import NO_TIME, layout_of
from feature_repo.stores.packed.packing import pack_row, row_head, unpack_row
from tests.feature_repo.stores.packed.feast_values import f32, i32, same, texts
from tests.feature_repo.stores.small_repo import DAY, PROJECT, feature_view, user

_SMALL_INTEGERS = st.integers(-(2**50), 2**50)  # Feast turns a column with nulls into float64
COLUMNS: dict[str, tuple[Any, pa.DataType, st.SearchStrategy[Any]]] = {
    "f": (Float32, pa.float32(), st.none() | f32),
    "f_of_double": (Float32, pa.float64(), st.none() | f32),
    "f_of_int": (Float32, pa.int64(), st.integers(-1000, 1000)),
    "d": (Float64, pa.float64(), st.none() | st.floats()),
    "i": (Int64, pa.int64(), st.none() | _SMALL_INTEGERS),
    "j": (Int32, pa.int32(), st.none() | i32),
    "b": (Bool, pa.bool_(), st.none() | st.booleans()),
    "s": (String, pa.string(), st.none() | texts),
    "large": (String, pa.large_string(), st.none() | texts),
    "raw": (Bytes, pa.binary(), st.none() | st.binary(min_size=1, max_size=9)),
    "uuid": (Uuid, pa.string(), st.none() | st.uuids().map(str)),
    "price": (
        Decimal,
        pa.decimal128(9, 2),
        st.none() | st.integers(-9999, 9999).map(lambda n: Number(n) / 100),
    ),
    "json": (Json, pa.string(), st.none() | st.just('{"a": [1]}')),
    "l": (Array(Int64), pa.list_(pa.int64()), st.none() | st.lists(_SMALL_INTEGERS, max_size=4)),
    "fl": (Array(Float32), pa.large_list(pa.float32()), st.none() | st.lists(f32, max_size=4)),
    "bl": (Array(Bool), pa.list_(pa.bool_()), st.none() | st.lists(st.booleans(), max_size=9)),
    "sl": (Array(String), pa.list_(pa.string()), st.none() | st.lists(texts, max_size=3)),
    "set": (Set(Int64), pa.list_(pa.int64()), st.none() | st.lists(_SMALL_INTEGERS, max_size=3, unique=True)),
    "map": (Map, pa.string(), st.none() | st.just('{"a": 1}')),
    "at": (
        UnixTimestamp,
        pa.timestamp("us", "UTC"),
        st.datetimes(datetime(1971, 1, 1), timezones=st.just(UTC)),
    ),
}
VIEW = feature_view("view", {name: type_ for name, (type_, *_) in COLUMNS.items()})
TABLE = Table(
    view="view",
    prefix=row_prefix(PROJECT, "view", ["user_id"]),
    layout=layout_of(VIEW),
    join_keys={"user_id": "INT64"},
    event="event_timestamp",
    created="created",
)
_ROW = st.fixed_dictionaries({name: values for name, (_, _, values) in COLUMNS.items()})
_INSTANTS = pa.timestamp("us", "UTC")


def _batch(rows: list[dict[str, Any]], **extra: Any) -> pa.RecordBatch:
    columns = {name: pa.array([row[name] for row in rows], arrow) for name, (_, arrow, _) in COLUMNS.items()}
    columns["user_id"] = pa.array(range(len(rows)), pa.int64())
    columns["event_timestamp"] = columns["created"] = pa.array([DAY] * len(rows), _INSTANTS)
    return pa.RecordBatch.from_pydict(columns | extra)


@given(st.lists(_ROW, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_rows_are_what_feast_makes_of_the_table(rows: list[dict[str, Any]]) -> None:
    batch = _batch(rows)
    keys, packed = pack_batch(TABLE, batch)
    expected = _convert_arrow_to_proto(batch, VIEW, {"user_id": ValueType.INT64})
    for key, row, (entity, values, event, created) in zip(keys, packed, expected, strict=True):
        assert key == entity_key(TABLE.prefix, "view", entity)
        assert row_head(row) == row_head(pack_row(TABLE.layout, "view", values, event, created))
        got = unpack_row(TABLE.layout, row)
        for name, value in values.items():
            assert same(got[name], value), name


def _one(view_fields: dict[str, Any], **columns: pa.Array) -> dict[str, Any]:
    """What becomes of the first row of a table of few columns."""
    view = feature_view("view", view_fields)
    table = Table("view", TABLE.prefix, layout_of(view), {"user_id": "INT64"}, "event_timestamp", None)
    count = len(next(iter(columns.values())))
    whole = {
        "user_id": pa.array(range(count), pa.int64()),
        "event_timestamp": pa.array([DAY] * count, _INSTANTS),
        **columns,
    }
    _, rows = pack_batch(table, pa.RecordBatch.from_pydict(whole))
    return unpack_row(table.layout, rows[0])


def test_large_integers_beside_nulls_stay_exact() -> None:
    """Feast's own conversion makes them floats on the way."""
    assert _one({"i": Int64}, i=pa.array([2**53 + 1, None]))["i"].int64_val == 2**53 + 1


def test_null_instants_are_null() -> None:
    """Feast's own conversion makes them -9223372036854775808."""
    assert _one({"at": UnixTimestamp}, at=pa.array([None], _INSTANTS))["at"].WhichOneof("val") is None


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_of_every_unit(unit: str) -> None:
    column = pa.array([datetime(2026, 3, 1, 12)], pa.timestamp(unit))
    assert _one({"at": UnixTimestamp}, at=column)["at"].unix_timestamp_val == DAY.timestamp() + 12 * 3600
    at_event = _one({}, event_timestamp=column)
    assert at_event == {}


def test_dates_are_instants_at_midnight() -> None:
    assert (
        _one({"at": UnixTimestamp}, at=pa.array([date(2026, 3, 1)]))["at"].unix_timestamp_val
        == DAY.timestamp()
    )


def test_arrow_maps_are_maps() -> None:
    """Feast's own conversion refuses them."""
    column = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    assert _one({"m": Map}, m=column)["m"].map_val.val["a"].int64_val == 1


def test_dictionary_columns_and_lists_of_fixed_size() -> None:
    got = _one(
        {"s": String, "v": Array(Float32)},
        s=pa.array(["a", "b"]).dictionary_encode(),
        v=pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0], pa.float32()), 2),
    )
    assert got["s"].string_val == "a"
    assert list(got["v"].float_list_val.val) == [1.0, 2.0]


def test_a_slice_of_a_batch_is_packed_as_itself() -> None:
    values: dict[str, Any] = dict.fromkeys(COLUMNS) | {"f_of_int": 1, "at": DAY}
    rows = [values | {"s": text, "l": [n] * n} for n, text in enumerate(["a", "bb", "", "dddd"])]
    batch = _batch(rows)
    keys, packed = pack_batch(TABLE, batch)
    assert pack_batch(TABLE, batch.slice(1, 2)) == (keys[1:3], packed[1:3])


def test_an_empty_batch() -> None:
    assert pack_batch(TABLE, _batch([])) == ([], [])


def test_keys_of_text_are_those_of_single_entities() -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    table = Table(
        "view", TABLE.prefix, layout_of(feature_view("v", {})), {"name": "STRING"}, "event_timestamp", None
    )
    batch = pa.RecordBatch.from_pydict(
        {"name": ["é", ""], "event_timestamp": pa.array([DAY, DAY], _INSTANTS)}
    )
    keys, rows = pack_batch(table, batch)
    entities = [EntityKey(join_keys=["name"], entity_values=[Value(string_val=text)]) for text in ("é", "")]
    assert keys == [entity_key(TABLE.prefix, "view", entity) for entity in entities]
    assert row_head(rows[0])[2] == NO_TIME


@pytest.mark.parametrize(
    ("fields", "columns", "error"),
    [
        ({"f": Float32}, {}, "its source has no column f"),
        ({"i": Int64}, {"i": pa.array([1.5])}, "column i is double and does not fit int64"),
        ({"l": Array(Int64)}, {"l": pa.array(["a"])}, "column l is string, declared INT64_LIST"),
        ({"l": Array(Int64)}, {"l": pa.array([[1, None]])}, "a list in l has a null in it"),
        ({}, {"user_id": pa.array([None], pa.int64())}, "1 rows have no user_id"),
        ({}, {"event_timestamp": pa.array([None], _INSTANTS)}, "1 rows have no event_timestamp"),
        ({}, {"user_id": pa.array(["seven"])}, "column user_id is string and does not fit int64"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], columns: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueMismatch, match=f"feature view view: {error}"):
        _one(fields, **({"user_id": pa.array([1])} | columns))


def test_float_columns_are_one_block() -> None:
    view = feature_view("view", {"a": Float32, "b": Float32})
    table = Table("view", TABLE.prefix, layout_of(view), {"user_id": "INT64"}, "event_timestamp", None)
    numbers = np.arange(6, dtype=np.float32).reshape(3, 2)
    batch = pa.RecordBatch.from_pydict(
        {
            "user_id": [1, 2, 3],
            "event_timestamp": pa.array([DAY] * 3, _INSTANTS),
            "a": numbers[:, 0],
            "b": numbers[:, 1],
        }
    )
    _, rows = pack_batch(table, batch)
    assert (np.frombuffer(b"".join(rows), table.layout.dtype)["floats"] == numbers).all()
    assert user.join_key == "user_id"
