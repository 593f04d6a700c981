"""One row between Feast's protobuf values and packed bytes."""

import struct
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from feature_repo.stores import period
from feature_repo.stores.errors import CorruptRow, ValueMismatch
from feature_repo.stores.packed.checksum import CHECK, check, is_sound
from feature_repo.stores.packed.layout import NO_TIME, Column, Form, Layout


def microseconds(instant: datetime | None) -> int:
    """Since 1970 in UTC; a naive instant is UTC, as everywhere in Feast; ``NO_TIME`` for none."""
    return NO_TIME if instant is None else period.microseconds(instant)


def instant(us: int) -> datetime:
    """The other way, in UTC.

    Raises:
        CorruptRow: the instant is outside the calendar.
    """
    try:
        return period.EPOCH + timedelta(microseconds=us)
    except OverflowError as error:
        raise CorruptRow("a stored row has no date that can be") from error


def pack_row(
    layout: Layout, view: str, values: Mapping[str, Value], event: datetime, created: datetime | None
) -> bytes:
    """One row. A value that is missing is null.

    Raises:
        ValueMismatch: a value is of another type than its column, or of a column that the view does not have.
    """
    if not values.keys() <= layout.positions.keys():
        strange = ", ".join(sorted(values.keys() - layout.positions.keys()))
        raise ValueMismatch(f"feature view {view} has no field {strange}; run `feast apply` after adding one")
    nulls = 0
    given: list[Any] = []
    for i, column in enumerate(layout.columns):
        content = _content(view, column, values.get(column.name))
        given.append(content)
        nulls |= (content is None) << i
    payloads = [given[i] or b"" for i in layout.variable]
    ends = np.cumsum([len(payload) for payload in payloads], dtype=np.int64).tolist()
    head = layout.struct.pack(
        layout.head,
        microseconds(event),
        microseconds(created),
        0,
        nulls.to_bytes(layout.null_bytes, "little"),
        *(float("nan") if given[i] is None else given[i] for i in layout.floats),
        *(given[i] or 0 for i in layout.fixed),
        *ends,
    )
    row = b"".join([head, *payloads])
    return row[: CHECK.start] + check(row, len(head)).to_bytes(4, "little") + row[CHECK.stop :]


def unpack_row(layout: Layout, row: bytes) -> dict[str, Value]:
    """The values by column; null ones are empty ``Value`` messages, as Feast's own stores return them.

    Raises:
        CorruptRow: the bytes are not a row of this layout.
    """
    try:
        head, _, _, _, bitmap, *rest = layout.struct.unpack_from(row)
    except struct.error as error:
        raise CorruptRow("a stored row is cut short") from error
    first_end = len(rest) - len(layout.variable)
    ends = [0, *rest[first_end:]]
    payload = row[layout.struct.size :]
    if head != layout.head or ends != sorted(ends) or ends[-1] != len(payload):
        raise CorruptRow("a stored row has not the length that it says")
    if not is_sound(row, layout.struct.size):
        raise CorruptRow("a stored row has not the checksum that it carries")
    nulls = int.from_bytes(bitmap, "little")
    scalars = zip((*layout.floats, *layout.fixed), rest, strict=False)
    content: dict[int, Any] = dict(scalars)
    for position, begin, end in zip(layout.variable, ends, ends[1:], strict=False):
        content[position] = payload[begin:end]
    values: dict[str, Value] = {}
    for i, column in enumerate(layout.columns):
        values[column.name] = Value() if nulls >> i & 1 else _message(column, content[i])
    return values


def row_head(row: bytes) -> tuple[int, int, int]:
    """Layout head, event and created time (µs) of a row.

    Raises:
        CorruptRow: there are not that many bytes.
    """
    if len(row) < 24:
        raise CorruptRow("a stored row is cut short")
    return (
        int.from_bytes(row[:8], "little"),
        int.from_bytes(row[8:16], "little", signed=True),
        int.from_bytes(row[16:24], "little", signed=True),
    )


def _content(view: str, column: Column, value: Value | None) -> Any:
    """What stands in the row for a value: a number, bytes, or None where it is null."""
    field = None if value is None else value.WhichOneof("val")
    if value is None or field is None or field == "null_val":
        return None
    encoding = column.encoding
    if field != encoding.field:
        raise ValueMismatch(
            f"feature view {view}: field {column.name} is declared {column.type} and was given {field}"
        )
    if encoding.form is Form.MESSAGE:
        return value.SerializeToString()
    content = getattr(value, field)
    if encoding.form is Form.ARRAY:
        return np.asarray(content.val, encoding.dtype).tobytes()
    return content.encode() if encoding.form is Form.TEXT else content


def _message(column: Column, content: Any) -> Value:
    encoding = column.encoding
    try:
        if encoding.form is Form.MESSAGE:
            message: Value = Value.FromString(content)
            return message
        if encoding.form is Form.TEXT:
            return Value(**{encoding.field: content.decode()})
        value = Value()
        if encoding.form is Form.ARRAY:
            target = getattr(value, encoding.field)
            target.SetInParent()
            target.val.extend(np.frombuffer(content, encoding.dtype).tolist())
            return value
    except (DecodeError, ValueError) as error:
        raise CorruptRow(f"the stored {column.name} of a row is damaged") from error
    return Value(**{encoding.field: content})
