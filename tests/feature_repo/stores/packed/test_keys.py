"""Keys: one for each entity, in the order of the integers, by both ways of making them."""

import numpy as np
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores.errors import ValueMismatch
from feature_repo.stores.packed.keys import PREFIX_BYTES, entity_key, integer_keys, row_prefix, view_prefix
from tests.feature_repo.stores.packed.feast_values import i32, i64

PREFIX = row_prefix("project", "view", ["b", "a"])


def _key(**values: Value) -> bytes:
    return entity_key(PREFIX, "view", EntityKey(join_keys=list(values), entity_values=list(values.values())))


@given(st.lists(st.tuples(i64, i32), min_size=1, max_size=20))
def test_many_integer_keys_equal_the_single_ones(ids: list[tuple[int, int]]) -> None:
    columns = [np.array(column, np.int64) for column in zip(*ids, strict=True)]
    singles = [_key(b=Value(int32_val=b), a=Value(int64_val=a)) for a, b in ids]
    assert integer_keys(PREFIX, ["int64_val", "int32_val"], columns) == singles


@given(st.lists(i64, min_size=1, unique=True))
def test_keys_sort_as_the_integers_do(ids: list[int]) -> None:
    keys = integer_keys(PREFIX, ["int64_val"], [np.array(ids, np.int64)])
    assert [keys.index(key) for key in sorted(keys)] == [ids.index(value) for value in sorted(ids)]


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_texts_never_run_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = [_key(a=Value(string_val=a), b=Value(string_val=b)) for a, b in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_one_column_is_repeated_for_the_candidates() -> None:
    keys = integer_keys(PREFIX, ["int64_val"] * 2, [np.array([7]), np.array([1, 2])])
    assert keys == [_key(a=Value(int64_val=7), b=Value(int64_val=n)) for n in (1, 2)]
    assert integer_keys(PREFIX, ["int64_val"] * 2, [np.array([7]), np.array([], np.int64)]) == []


def test_types_and_names_are_part_of_the_entity() -> None:
    five = [Value(int64_val=5), Value(int32_val=5), Value(string_val="5"), Value(bytes_val=b"5")]
    assert len({_key(a=value, b=value) for value in five}) == 4
    assert row_prefix("project", "view", ["a"]) != row_prefix("project", "view", ["b"])
    assert row_prefix("ab", "c", ["k"])[:5] != row_prefix("a", "bc", ["k"])[:5]


def test_order_of_the_join_keys_does_not_matter() -> None:
    one, two = Value(int64_val=1), Value(int64_val=2)
    assert _key(a=one, b=two) == _key(b=two, a=one)
    assert row_prefix("p", "v", ["a", "b"]) == row_prefix("p", "v", ["b", "a"])


def test_a_long_text_is_shortened_and_still_found_by_the_view() -> None:
    keys = [_key(a=Value(string_val="x" * 2000 + last), b=Value(int64_val=1)) for last in "yz"]
    assert keys[0] != keys[1]
    assert all(len(key) <= 511 and key[:PREFIX_BYTES] == PREFIX for key in keys)
    assert PREFIX.startswith(view_prefix("project", "view"))


@pytest.mark.parametrize("value", [Value(), Value(double_val=1.0)], ids=["null", "double"])
def test_what_is_no_key_is_refused_by_view_and_name(value: Value) -> None:
    with pytest.raises(ValueMismatch, match="feature view view: join key b is"):
        _key(a=Value(int64_val=1), b=value)


def test_an_int32_key_out_of_range_is_refused() -> None:
    with pytest.raises(ValueMismatch, match="32 bits"):
        integer_keys(PREFIX, ["int32_val"], [np.array([2**31], np.int64)])
