"""Values of every Feast type, as hypothesis strategies over Feast's own messages."""

import json
from typing import Any

from feast.protos.feast.types import Value_pb2 as pb
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
i32 = st.integers(-(2**31), 2**31 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
f32 = st.floats(width=32)
f64 = st.floats()
uuids = st.uuids().map(str)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-999, max_value=999).map(
    str
)
documents = st.dictionaries(texts, st.none() | i32 | texts, max_size=3).map(json.dumps)
maps = st.dictionaries(texts, i64.map(lambda x: Value(int64_val=x)), max_size=3).map(lambda m: pb.Map(val=m))
scalar_maps = st.lists(
    st.builds(
        lambda key, value: pb.ScalarMapEntry(key=pb.MapKey(int64_key=key), value=Value(string_val=value)),
        i64,
        texts,
    ),
    max_size=2,
).map(lambda entries: pb.ScalarMap(val=entries))
zoned = st.builds(pb.ZonedTimestamp, unix_timestamp=i64, zone=st.sampled_from(["", "UTC", "Europe/Berlin"]))
nested = st.lists(
    st.lists(i64, max_size=3).map(lambda xs: Value(int64_list_val=pb.Int64List(val=xs))), max_size=3
).map(lambda values: pb.RepeatedValue(val=values))


def _list(message: Any, elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(elements, max_size=5).map(lambda xs: message(val=xs))


def _of(field: str, contents: st.SearchStrategy[Any]) -> st.SearchStrategy[Value]:
    return contents.map(lambda content: Value(**{field: content}))


_SCALARS: dict[str, tuple[Any, Any, st.SearchStrategy[Any]]] = {
    "int32": (Int32, "Int32", i32),
    "int64": (Int64, "Int64", i64),
    "float": (Float32, "Float", f32),
    "double": (Float64, "Double", f64),
    "bool": (Bool, "Bool", st.booleans()),
    "unix_timestamp": (UnixTimestamp, "Int64", i64),
    "string": (String, "String", texts),
    "bytes": (Bytes, "Bytes", st.binary(max_size=9)),
    "uuid": (Uuid, "String", uuids),
    "time_uuid": (TimeUuid, "String", uuids),
    "decimal": (Decimal, "String", decimals),
}

FIELDS: dict[str, tuple[Any, st.SearchStrategy[Value]]] = {}
"""By the field's name: its Feast type and its values."""
for _name, (_type, _message, _contents) in _SCALARS.items():
    FIELDS[_name] = (_type, _of(f"{_name}_val", _contents))
    FIELDS[f"{_name}_list"] = (
        Array(_type),
        _of(f"{_name}_list_val", _list(getattr(pb, f"{_message}List"), _contents)),
    )
    FIELDS[f"{_name}_set"] = (
        Set(_type),
        _of(f"{_name}_set_val", _list(getattr(pb, f"{_message}Set"), _contents)),
    )
FIELDS |= {
    "pdf": (PdfBytes, _of("bytes_val", st.binary(max_size=9))),
    "image": (ImageBytes, _of("bytes_val", st.binary(max_size=9))),
    "json": (Json, _of("json_val", documents)),
    "json_list": (Array(Json), _of("json_list_val", _list(pb.StringList, documents))),
    "map": (Map, _of("map_val", maps)),
    "map_list": (Array(Map), _of("map_list_val", _list(pb.MapList, maps))),
    "struct": (Struct({"a": Int64}), _of("struct_val", maps)),
    "struct_list": (Array(Struct({"a": Int64})), _of("struct_list_val", _list(pb.MapList, maps))),
    "scalar_map": (ScalarMap, _of("scalar_map_val", scalar_maps)),
    "zoned": (ZonedTimestamp, _of("zoned_timestamp_val", zoned)),
    "list_of_lists": (Array(Array(Int64)), _of("list_val", nested)),
    "set_of_lists": (Set(Array(Int64)), _of("set_val", nested)),
}

rows = st.fixed_dictionaries({name: values | st.just(Value()) for name, (_, values) in FIELDS.items()})
"""A value or null for every field."""


def same(left: Value, right: Value) -> bool:
    """Equal, where NaN is equal to itself."""
    return bool(left.SerializeToString(deterministic=True) == right.SerializeToString(deterministic=True))
