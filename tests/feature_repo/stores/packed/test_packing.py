"""Rows between Feast's messages and bytes."""

from datetime import UTC, datetime, timedelta, timezone
from zlib import crc32

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.errors import CorruptRow, ValueMismatch
from feature_repo.stores.packed.checksum import check, checks
from feature_repo.stores.packed.layout import NO_TIME, layout_of
from feature_repo.stores.packed.packing import instant, microseconds, pack_row, row_head, unpack_row
from tests.feature_repo.stores.packed.feast_values import FIELDS, rows, same
from tests.feature_repo.stores.small_repo import DAY, feature_view

EVERYTHING = layout_of(feature_view("everything", {name: type_ for name, (type_, _) in FIELDS.items()}))
SMALL = layout_of(feature_view("small", {"a": Float32, "s": String, "l": Array(Int64)}))


@given(rows)
@settings(max_examples=60, deadline=None)
def test_every_type_comes_back(values: dict[str, Value]) -> None:
    row = pack_row(EVERYTHING, "everything", values, DAY, None)
    back = unpack_row(EVERYTHING, row)
    assert list(back) == [column.name for column in EVERYTHING.columns]
    for name, value in values.items():
        assert same(back[name], value), name


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.integers(-12, 12))
def test_instants_are_utc_to_the_microsecond(naive: datetime, hours: int) -> None:
    aware = naive.replace(tzinfo=UTC)
    assert instant(microseconds(naive)) == aware
    assert microseconds(aware.astimezone(timezone(timedelta(hours=hours)))) == microseconds(aware)


def test_head_carries_layout_and_times() -> None:
    row = pack_row(SMALL, "small", {}, DAY, None)
    assert row_head(row) == (SMALL.head, microseconds(DAY), NO_TIME)
    created = DAY + timedelta(microseconds=1)
    assert row_head(pack_row(SMALL, "small", {}, DAY, created))[2] == microseconds(created)


@given(st.data())
def test_a_cut_or_lengthened_row_is_found_out(data: st.DataObject) -> None:
    values = {"a": Value(float_val=1.5), "s": Value(string_val="hello")}
    row = pack_row(SMALL, "small", values, DAY, DAY)
    cut = data.draw(st.integers(0, len(row) - 1))
    for damaged in (row[:cut], row + b"x"):
        with pytest.raises(CorruptRow, match="a stored row"):
            unpack_row(SMALL, damaged)


@given(st.data())
def test_any_bit_that_turns_is_found_out(data: st.DataObject) -> None:
    row = pack_row(SMALL, "small", {"a": Value(float_val=1.5), "s": Value(string_val="hello")}, DAY, DAY)
    bit = data.draw(st.integers(0, 8 * len(row) - 1))
    damaged = bytearray(row)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptRow, match="a stored row"):
        unpack_row(SMALL, bytes(damaged))


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=9), st.data())
def test_many_checksums_are_those_of_single_rows(fixed: list[bytes], data: st.DataObject) -> None:
    tails = [data.draw(st.binary(max_size=5)) for _ in fixed]
    table = np.frombuffer(b"".join(fixed), "V32")
    ours = checks(table, np.array([crc32(tail) for tail in tails], np.uint32))
    assert ours.tolist() == [check(row + tail, 32) for row, tail in zip(fixed, tails, strict=True)]
    assert checks(table).tolist() == [check(row, 32) for row in fixed]


def test_text_that_is_not_utf8_is_found_out() -> None:
    row = pack_row(SMALL, "small", {"s": Value(string_val="abc")}, DAY, DAY).replace(b"abc", b"\xff\xff\xff")
    row = row[:24] + check(row, SMALL.dtype.itemsize).to_bytes(4, "little") + row[28:]
    with pytest.raises(CorruptRow, match="the stored s of a row is damaged"):
        unpack_row(SMALL, row)


def test_a_value_of_another_type_is_refused_by_view_and_field() -> None:
    with pytest.raises(
        ValueMismatch, match="feature view small: field a is declared FLOAT and was given double_val"
    ):
        pack_row(SMALL, "small", {"a": Value(double_val=1.0)}, DAY, DAY)


def test_a_field_that_the_view_has_not_is_refused() -> None:
    with pytest.raises(ValueMismatch, match="feature view small has no field b"):
        pack_row(SMALL, "small", {"b": Value(float_val=1.0)}, DAY, DAY)
