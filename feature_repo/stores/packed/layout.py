"""The packed row: where each field of a feature view lies in the one value that an entity has.

    head 8 | event 8 | created 8 | check 4 | nulls ⌈n/8⌉ | all Float32 columns | other fixed columns | ends 4·m | bytes

Little-endian; ``nulls`` is padded so that what lies before the bytes is a multiple of four. ``head`` is the format version (low byte) and 56 bits of the BLAKE2b digest of the
columns' names and types; ``event`` and ``created`` are microseconds since 1970 (``NO_TIME``: none); ``check`` is
`checksum.check`; bit i of ``nulls`` (least significant first) belongs to column i of the schema; ``ends`` are the ends, counted from the first
of the bytes after them, of the m columns of variable length. Within a group the columns are in schema order.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from feast.value_type import ValueType

from feature_repo.stores.errors import UnsupportedType

FORMAT = 1
NO_TIME = -(2**63)
TIMES = slice(8, 24)
"""Where the event and created times lie: what decides which of two rows is the newer."""


class Form(Enum):
    """How a column's values lie in a row."""

    FIXED = "fixed"
    ARRAY = "array"  # the elements, one after the other
    TEXT = "text"  # UTF-8
    BYTES = "bytes"
    MESSAGE = "message"  # Feast's own protobuf Value


@dataclass(frozen=True)
class Encoding:
    """Of one Feast type: the field of Feast's ``Value`` message, the form, and the dtype of FIXED and ARRAY."""

    field: str
    form: Form
    dtype: str = ""


_NUMBERS = {
    "BOOL": "|u1",
    "INT32": "<i4",
    "INT64": "<i8",
    "FLOAT": "<f4",
    "DOUBLE": "<f8",
    "UNIX_TIMESTAMP": "<i8",
}
_FIELDS = {
    "VALUE_LIST": "list_val",
    "VALUE_SET": "set_val",
    "PDF_BYTES": "bytes_val",
    "IMAGE_BYTES": "bytes_val",
}


def _encoding(name: str) -> Encoding:
    field = _FIELDS.get(name, f"{name.lower()}_val")
    if name in _NUMBERS:
        return Encoding(field, Form.FIXED, _NUMBERS[name])
    if name.removesuffix("_LIST") in _NUMBERS:
        return Encoding(field, Form.ARRAY, _NUMBERS[name.removesuffix("_LIST")])
    if name in {"STRING", "JSON", "UUID", "TIME_UUID", "DECIMAL"}:
        return Encoding(field, Form.TEXT)
    return Encoding(field, Form.BYTES if field == "bytes_val" else Form.MESSAGE)


ENCODINGS = {t.name: _encoding(t.name) for t in ValueType if t not in (ValueType.UNKNOWN, ValueType.NULL)}
"""By the name of Feast's ``ValueType``: every type that a field can have."""


@dataclass(frozen=True)
class Column:
    """A field: its name and the name of its Feast ``ValueType``."""

    name: str
    type: str

    @property
    def encoding(self) -> Encoding:
        """How its values lie in a row."""
        return ENCODINGS[self.type]


@dataclass(frozen=True)
class Layout:
    """Where the columns lie. Two views with the same names and types in the same order share one."""

    columns: tuple[Column, ...]

    @cached_property
    def head(self) -> int:
        """The first eight bytes of every row, as an unsigned integer."""
        digest = blake2b(self.describe(), digest_size=7).digest()
        return int.from_bytes(bytes([FORMAT]) + digest, "little")

    @cached_property
    def floats(self) -> tuple[int, ...]:
        """Positions in the schema of the Float32 columns, which lie side by side."""
        return tuple(i for i, c in enumerate(self.columns) if c.type == "FLOAT")

    @cached_property
    def fixed(self) -> tuple[int, ...]:
        """Positions of the other columns of fixed width."""
        return tuple(
            i for i, c in enumerate(self.columns) if c.encoding.form is Form.FIXED and c.type != "FLOAT"
        )

    @cached_property
    def variable(self) -> tuple[int, ...]:
        """Positions of the columns of variable length."""
        return tuple(i for i, c in enumerate(self.columns) if c.encoding.form is not Form.FIXED)

    @cached_property
    def null_bytes(self) -> int:
        """Length of the null bitmap, with its padding."""
        bitmap = (len(self.columns) + 7) // 8
        others = sum(np.dtype(self.columns[i].encoding.dtype).itemsize for i in self.fixed)
        return bitmap + -(bitmap + others) % 4

    @cached_property
    def dtype(self) -> "np.dtype[np.void]":
        """The part before the variable bytes: fields head, event, created, check, nulls, floats, ends, and ``str(i)``
        for the fixed column i."""
        parts: list[Any] = [("head", "<u8"), ("event", "<i8"), ("created", "<i8"), ("check", "<u4")]
        parts.append(("nulls", "|u1", (self.null_bytes,)))
        parts.append(("floats", "<f4", (len(self.floats),)))
        parts += [(str(i), self.columns[i].encoding.dtype) for i in self.fixed]
        parts.append(("ends", "<u4", (len(self.variable),)))
        return np.dtype(parts)

    @cached_property
    def struct(self) -> struct.Struct:
        """The same part, for one row."""
        codes = {"|u1": "B", "<i4": "i", "<i8": "q", "<f8": "d"}
        fixed = "".join(codes[self.columns[i].encoding.dtype] for i in self.fixed)
        return struct.Struct(
            f"<QqqI{self.null_bytes}s{'f' * len(self.floats)}{fixed}{'I' * len(self.variable)}"
        )

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position in the schema by name."""
        return {c.name: i for i, c in enumerate(self.columns)}

    def describe(self) -> bytes:
        """The layout as JSON, from which `parse_layout` makes it again."""
        return json.dumps([[c.name, c.type] for c in self.columns], separators=(",", ":")).encode()


def parse_layout(description: bytes) -> Layout:
    """The layout that `Layout.describe` described."""
    return _shared(tuple((name, type_) for name, type_ in json.loads(description)))


def layout_of(view: Any) -> Layout:
    """The layout of a Feast feature view, in the order of its fields.

    Raises:
        UnsupportedType: a field's type cannot be stored; names the view, the field and the type.
    """
    return _shared(tuple((field.name, _type_name(view.name, field)) for field in view.features))


def _type_name(view: str, field: Any) -> str:
    try:
        name: str = field.dtype.to_value_type().name
    except (
        KeyError
    ):  # Feast lets such a type be declared, for instance Array(PdfBytes), and has no value for it
        name = ""
    if name not in ENCODINGS:
        raise UnsupportedType(
            f"feature view {view}: field {field.name} has the type {field.dtype}, which cannot be stored online; "
            "declare another type, or the view with online=False"
        )
    return name


@lru_cache(maxsize=1024)
def _shared(columns: Sequence[tuple[str, str]]) -> Layout:
    return Layout(tuple(Column(name, type_) for name, type_ in columns))
