"""The key of a row: eight bytes for project, view and join keys, then the values of the join keys by sorted name.

Like Feast's entity key serialization v3, a key holds the values' types and lengths, so that the integer 5 and the
text "5" are two entities; unlike it, the names are in the prefix, and integers are big-endian with the sign bit
flipped, so that keys sort as their values do and a sorted table is written in key order.
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from numpy.typing import NDArray

from feature_repo.stores.errors import ValueMismatch

NO_ENTITY = "__dummy_id"
"""Feast's join key of a view without entities; its value is the empty text."""

VIEW_BYTES = 5
PREFIX_BYTES = 8
LONGEST = 480
"""LMDB's keys have at most 511 bytes; a longer one is replaced by its digest."""

_TAGS = {"bytes_val": 1, "string_val": 2, "int32_val": 3, "int64_val": 4, "unix_timestamp_val": 8}
_WIDTHS = {"int32_val": 4, "int64_val": 8, "unix_timestamp_val": 8}
_DIGEST = b"\xff"


def view_prefix(project: str, view: str) -> bytes:
    """What the keys of all rows of a view begin with: 5 bytes."""
    return _digest([project, view], VIEW_BYTES)


def row_prefix(project: str, view: str, join_keys: Iterable[str]) -> bytes:
    """The same and 3 bytes for the names of the join keys: other join keys never find these rows. 8 bytes."""
    return view_prefix(project, view) + _digest(sorted(join_keys), PREFIX_BYTES - VIEW_BYTES)


def entity_key(prefix: bytes, view: str, entity: EntityKey) -> bytes:
    """The key of one entity.

    Raises:
        ValueMismatch: a join key is null, or of a type that Feast does not take as a key.
    """
    pairs = sorted(zip(entity.join_keys, entity.entity_values, strict=True), key=lambda pair: pair[0])
    return shortened(prefix + b"".join([_value(view, name, value) for name, value in pairs]))


def integer_keys(prefix: bytes, fields: Sequence[str], columns: Sequence[NDArray[np.int64]]) -> list[bytes]:
    """The keys of many entities with integer join keys.

    Args:
        prefix: of `row_prefix`.
        fields: per join key, in sorted order of their names, its field in Feast's ``Value``: int64_val, int32_val
            or unix_timestamp_val.
        columns: per join key, int64 ``[N]`` or ``[1]``, which is repeated.

    Raises:
        ValueMismatch: a key of 32 bits is given a larger integer.
    """
    rows = min(len(column) for column in columns) and max(len(column) for column in columns)
    widths = [_WIDTHS[field] for field in fields]
    if any(w == 4 and ((c < -(2**31)) | (c >= 2**31)).any() for w, c in zip(widths, columns, strict=True)):
        raise ValueMismatch("a join key declared INT32 is given an integer of more than 32 bits")
    if rows == 1:  # a query's own key: NumPy takes longer to begin than this to end
        return [prefix + b"".join(map(encoded_value, fields, [int(column[0]) for column in columns]))]
    keys = np.empty((rows, len(prefix) + sum(widths) + len(widths)), np.uint8)
    at = len(prefix)
    keys[:, :at] = np.frombuffer(prefix, np.uint8)
    for field, width, column in zip(fields, widths, columns, strict=True):
        keys[:, at] = _TAGS[field]
        flipped = column.astype(f">i{width}").view(np.uint8).reshape(-1, width)
        keys[:, at + 1 : at + 1 + width] = flipped
        keys[:, at + 1] ^= 0x80
        at += 1 + width
    whole: list[bytes] = keys.view(f"V{at}").ravel().tolist()
    return whole


def shortened(key: bytes) -> bytes:
    """The key, or its prefix and the digest of the rest where it is longer than a backend takes."""
    if len(key) <= LONGEST:
        return key
    return key[:PREFIX_BYTES] + _DIGEST + blake2b(key[PREFIX_BYTES:], digest_size=32).digest()


def _value(view: str, name: str, value: Value) -> bytes:
    field = value.WhichOneof("val")
    if field not in _TAGS:
        raise ValueMismatch(
            f"feature view {view}: join key {name} is {field or 'null'}; give an integer, text or bytes"
        )
    content: Any = getattr(value, field)
    return encoded_value(field, content)


def encoded_value(field: str, content: Any) -> bytes:
    """One join key's value as it stands in a key. ``field`` is its field in Feast's ``Value``."""
    tag = _TAGS[field].to_bytes()
    if field in _WIDTHS:
        width = _WIDTHS[field]
        return tag + (int(content) + (1 << (8 * width - 1))).to_bytes(width, "big")
    raw = content.encode() if isinstance(content, str) else bytes(content)
    return tag + len(raw).to_bytes(4, "big") + raw


def _digest(parts: list[str], size: int) -> bytes:
    return blake2b(json.dumps(parts).encode(), digest_size=size).digest()
