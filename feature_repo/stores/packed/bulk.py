"""Arrow record batches to packed rows, a column at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from numpy.typing import NDArray

from feature_repo.stores.errors import ValueMismatch
from feature_repo.stores.packed.checksum import checks
from feature_repo.stores.packed.keys import encoded_value, integer_keys, shortened
from feature_repo.stores.packed.layout import NO_TIME, Column, Form, Layout

_ARROW = {"|u1": pa.bool_(), "<i4": pa.int32(), "<i8": pa.int64(), "<f4": pa.float32(), "<f8": pa.float64()}
_KEYS = {
    "INT64": ("int64_val", pa.int64()),
    "INT32": ("int32_val", pa.int32()),
    "UNIX_TIMESTAMP": ("unix_timestamp_val", pa.int64()),
    "STRING": ("string_val", pa.string()),
    "BYTES": ("bytes_val", pa.binary()),
}


@dataclass(frozen=True)
class Table:
    """What the columns of a view's table are.

    ``join_keys`` maps the join keys to the names of their Feast ``ValueType``; ``prefix`` is of `row_prefix`, and the
    whole key where there are none.
    """

    view: str
    prefix: bytes
    layout: Layout
    join_keys: Mapping[str, str]
    event: str
    created: str | None

    def __getstate__(self) -> dict[str, Any]:
        # What a layout has worked out about itself cannot all be pickled, and is soon worked out again.
        return {**vars(self), "layout": Layout(self.layout.columns)}


def pack_batch(table: Table, batch: pa.RecordBatch) -> tuple[list[bytes], list[bytes]]:
    """Keys and rows of a record batch, in its order. No protobuf but for sets, maps and lists of texts.

    Raises:
        ValueMismatch: a column is missing, or does not fit the type that the view declares; a key or an event time
            is null.
    """
    count = batch.num_rows
    if not count:
        return [], []
    keys = _keys(table, batch)
    rows = np.zeros(count, table.layout.dtype)
    rows["head"] = table.layout.head
    rows["event"] = _times(table, batch, table.event, required=True)
    rows["created"] = _times(table, batch, table.created, required=False) if table.created else NO_TIME
    nulls = np.zeros((count, table.layout.null_bytes * 8), np.bool_)
    payloads: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
    for i, column in enumerate(table.layout.columns):
        values = _column(table, batch, column.name)
        form = column.encoding.form
        if form is Form.FIXED:
            numbers = _numbers(table, column, values)
            nulls[:, i] = _is_null(numbers)
            target = (
                rows["floats"][:, table.layout.floats.index(i)] if column.type == "FLOAT" else rows[str(i)]
            )
            target[:] = _filled(numbers)
        else:
            payload, lengths, absent = _variable(table, column, values)
            nulls[:, i] = absent
            payloads.append((payload, lengths))
    rows["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
    return keys, _joined(rows, payloads)


def _keys(table: Table, batch: pa.RecordBatch) -> list[bytes]:
    if not table.join_keys:  # a view without entities has one row
        return [table.prefix] * batch.num_rows
    names = sorted(table.join_keys)
    fields, columns = [], []
    for name in names:
        field, arrow = _KEYS[table.join_keys[name]]
        values = _column(table, batch, name)
        if field == "unix_timestamp_val" and pa.types.is_timestamp(values.type):
            values = pc.cast(values, pa.timestamp("s", values.type.tz), safe=False)
        values = _cast(table, name, values, arrow)
        if values.null_count:
            raise ValueMismatch(
                f"feature view {table.view}: {values.null_count} rows have no {name}; leave them out of its source"
            )
        fields.append(field)
        columns.append(values)
    if all(pa.types.is_integer(c.type) for c in columns):
        return integer_keys(table.prefix, fields, [c.to_numpy().astype(np.int64) for c in columns])
    parts = [[encoded_value(f, v) for v in c.to_pylist()] for f, c in zip(fields, columns, strict=True)]
    return [shortened(table.prefix + b"".join(row)) for row in zip(*parts, strict=True)]


def _column(table: Table, batch: pa.RecordBatch, name: str) -> pa.Array:
    place = batch.schema.get_field_index(name)
    if place < 0:
        raise ValueMismatch(f"feature view {table.view}: its source has no column {name}")
    values = batch.column(place)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _times(table: Table, batch: pa.RecordBatch, name: str, required: bool) -> NDArray[np.int64]:
    """Microseconds since 1970, ``NO_TIME`` where null."""
    values = _column(table, batch, name)
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    values = pc.cast(values, pa.timestamp("us", zone), safe=False).cast(pa.int64())
    if required and values.null_count:
        raise ValueMismatch(
            f"feature view {table.view}: {values.null_count} rows have no {name}; leave them out of its source"
        )
    times: NDArray[np.int64] = pc.fill_null(values, NO_TIME).to_numpy()
    return times


def _cast(table: Table, name: str, values: pa.Array, to: pa.DataType) -> pa.Array:
    if values.type == to:
        return values
    try:
        if pa.types.is_floating(to):
            return pc.cast(values, to, safe=False)
        return pc.cast(values, to)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueMismatch(
            f"feature view {table.view}: column {name} is {values.type} and does not fit {to}: {error}"
        ) from error


def _numbers(table: Table, column: Column, values: pa.Array) -> pa.Array:
    """The values as the Arrow type of the column's dtype."""
    if column.type == "UNIX_TIMESTAMP":
        values = _seconds(values)
    return _cast(table, column.name, values, _ARROW[column.encoding.dtype])


def _seconds(values: pa.Array) -> pa.Array:
    """Whole seconds since 1970, as Feast stores instants: a fraction is cut off, towards 1970."""
    if pa.types.is_date(values.type):
        values = pc.cast(values, pa.timestamp("s"))
    if not pa.types.is_timestamp(values.type):
        return values
    microseconds = pc.cast(values, pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64())
    return pc.divide(microseconds, 1_000_000)


def _is_null(values: pa.Array) -> NDArray[np.bool_]:
    """Where a value is null; NaN is null, as in Feast's own conversion of scalars."""
    null: NDArray[np.bool_] = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    return null


def _filled(values: pa.Array) -> NDArray[Any]:
    if pa.types.is_floating(values.type):
        return pc.fill_null(values, float("nan")).to_numpy()  # type: ignore[no-any-return]
    filled = pc.fill_null(values, False if pa.types.is_boolean(values.type) else 0)
    return filled.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _variable(
    table: Table, column: Column, values: pa.Array
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """The bytes of all rows one after the other, the length of each, and which are null."""
    form = column.encoding.form
    if form is Form.ARRAY:
        return _arrays(table, column, values)
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if form is Form.MESSAGE or column.type == "JSON" or (form is Form.TEXT and not text):
        values = _messages(column, values)
    binary = _cast(
        table, column.name, values, pa.large_binary() if form is not Form.TEXT else pa.large_string()
    )
    offsets = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset : binary.offset + len(binary) + 1]
    content = np.frombuffer(binary.buffers()[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    return content[offsets[0] : offsets[-1]], lengths, binary.is_null().to_numpy(zero_copy_only=False)


def _messages(column: Column, values: pa.Array) -> pa.Array:
    """What Feast's own conversion makes of each value: a serialized message, or a text, which is checked JSON."""
    if pa.types.is_map(values.type):  # Arrow gives pairs, and Feast's conversion takes dictionaries alone
        given = [None if pairs is None else dict(pairs) for pairs in values.to_pylist()]
    else:
        given = values.to_numpy(zero_copy_only=False)
    messages = python_values_to_proto_values(given, ValueType[column.type])
    field = column.encoding.field
    if column.encoding.form is Form.TEXT:
        return pa.array(
            [getattr(m, field) if m.WhichOneof("val") else None for m in messages], pa.large_string()
        )
    return pa.array(
        [m.SerializeToString() if m.WhichOneof("val") else None for m in messages], pa.large_binary()
    )


def _arrays(
    table: Table, column: Column, values: pa.Array
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    if pa.types.is_null(values.type):
        values = values.cast(pa.list_(_ARROW[column.encoding.dtype]))
    if not (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or _is_fixed_list(values.type)
    ):
        raise ValueMismatch(
            f"feature view {table.view}: column {column.name} is {values.type}, declared {column.type}"
        )
    elements = values.flatten()
    if elements.null_count:
        raise ValueMismatch(f"feature view {table.view}: a list in {column.name} has a null in it")
    numbers = _filled(_numbers_of_list(table, column, elements)).astype(column.encoding.dtype)
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
    payload = np.ascontiguousarray(numbers).view(np.uint8)
    return payload, lengths * numbers.itemsize, values.is_null().to_numpy(zero_copy_only=False)


def _is_fixed_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(type_))


def _numbers_of_list(table: Table, column: Column, elements: pa.Array) -> pa.Array:
    if column.type == "UNIX_TIMESTAMP_LIST":
        elements = _seconds(elements)
    return _cast(table, column.name, elements, _ARROW[column.encoding.dtype])


def _joined(
    rows: "NDArray[np.void]", payloads: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]]
) -> list[bytes]:
    """Fixed parts and payloads, cut into one value a row."""
    if not payloads:
        rows["check"] = checks(rows)
        whole: list[bytes] = rows.view(f"V{rows.dtype.itemsize}").tolist()
        return whole
    lengths = np.stack([lengths for _, lengths in payloads], axis=1)
    ends = lengths.cumsum(axis=1)
    rows["ends"] = ends
    bounds = np.concatenate([[0], (rows.dtype.itemsize + ends[:, -1]).cumsum()])
    out = np.empty(bounds[-1], np.uint8)
    size = rows.dtype.itemsize
    for i, (payload, length) in enumerate(payloads):
        begins = bounds[:-1] + size + ends[:, i] - length
        # Byte k of the payload goes to its row's begin, plus how far k is into the row's part of the payload.
        shift = begins - (length.cumsum() - length)
        out[np.repeat(shift, length) + np.arange(len(payload))] = payload
    spans = list(pairwise(bounds.tolist()))
    rows["check"] = checks(
        rows, np.array([crc32(out[begin + size : end].data) for begin, end in spans], np.uint32)
    )
    out[bounds[:-1, None] + np.arange(size)] = rows.view(np.uint8).reshape(len(rows), -1)
    content = out.tobytes()
    return [content[begin:end] for begin, end in spans]
