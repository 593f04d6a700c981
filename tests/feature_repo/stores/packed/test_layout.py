"""The layout: what it is made from, what tells it from another, what is refused."""

import pytest
from feast import FeatureView, Field
from feast.types import Array, Bool, Float32, Float64, Int64, Invalid, PdfBytes, String
from feast.value_type import ValueType

from feature_repo.stores.errors import UnsupportedType
from feature_repo.stores.packed.layout import ENCODINGS, FORMAT, Layout, layout_of, parse_layout
from tests.feature_repo.stores.packed.feast_values import FIELDS
from tests.feature_repo.stores.small_repo import feature_view


def _layout(**fields: object) -> Layout:
    return layout_of(feature_view("view", fields))


def test_float32_columns_lie_side_by_side_and_the_rest_in_schema_order() -> None:
    layout = _layout(a=Float32, s=String, b=Int64, c=Float32, d=Bool, l=Array(Int64))
    assert layout.dtype.fields is not None
    offsets = {name: offset for name, (_, offset, *_) in layout.dtype.fields.items()}
    # 28 bytes of head, times and checksum, nulls padded to make the whole a multiple of four, two floats, an
    # int64, a bool, the ends of two columns
    assert offsets == {
        "head": 0,
        "event": 8,
        "created": 16,
        "check": 24,
        "nulls": 28,
        "floats": 31,
        "2": 39,
        "4": 47,
        "ends": 48,
    }
    assert layout.dtype.itemsize == layout.struct.size == 56
    assert layout.floats == (0, 3)
    assert layout.variable == (1, 5)


@pytest.mark.parametrize(
    "other",
    [
        {"a": Float32},
        {"b": Float64, "a": Float32},
        {"a": Float32, "c": Float64},
        {"a": Float64, "b": Float64},
    ],
    ids=["removed", "reordered", "renamed", "retyped"],
)
def test_another_schema_has_another_head(other: dict[str, object]) -> None:
    assert _layout(**other).head != _layout(a=Float32, b=Float64).head


def test_head_begins_with_the_format() -> None:
    assert _layout(a=Float32).head & 0xFF == FORMAT


def test_description_makes_the_same_layout() -> None:
    layout = _layout(**{name: type_ for name, (type_, _) in FIELDS.items()})
    assert parse_layout(layout.describe()) == layout
    assert parse_layout(layout.describe()).head == layout.head


def test_every_type_that_feast_has_is_encoded() -> None:
    assert {t.name for t in ValueType} - ENCODINGS.keys() == {"UNKNOWN", "NULL"}


@pytest.mark.parametrize("type_", [Invalid, Array(PdfBytes)], ids=str)
def test_a_type_without_a_value_is_refused_with_view_field_and_type(type_: object) -> None:
    view = FeatureView(name="papers", schema=[Field(name="scan", dtype=type_)], source=None)
    with pytest.raises(UnsupportedType, match=r"feature view papers: field scan has the type .*; declare"):
        layout_of(view)
