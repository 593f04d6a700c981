"""Rows as a data source holds them: under its own column names, in its own types."""

from collections.abc import Mapping, Sequence

import pyarrow as pa


def source_columns(mapping: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    """What the columns are called in the source, before Feast's ``field_mapping`` (source → feature)."""
    original = {new: old for old, new in mapping.items()}
    return tuple(original.get(name, name) for name in names)


def fitted(rows: pa.Table, held: pa.Schema, source: str, *, widened: bool = False) -> pa.Table:
    """Rows that are to be appended, in the columns and types of the source.

    Args:
        rows: The source's columns, in any order.
        held: What the source has.
        source: Its name, for messages.
        widened: Whether integers and floats that are wider than the source's stay as wide. Floats are rounded
            otherwise; an integer that the source's type cannot hold is refused.

    Raises:
        ValueError: a column is missing, is not the source's, or holds what the source's type cannot.
    """
    if set(rows.column_names) != set(held.names):
        raise ValueError(
            f"{source} has the columns {', '.join(held.names)}, and the rows {', '.join(rows.column_names)}: "
            "give them the same"
        )
    columns, fields = [], []
    for field in held:
        column = rows.column(field.name)
        kept = column.type if widened and _is_wider(column.type, field.type) else field.type
        try:
            columns.append(column.cast(kept))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(
                f"{source}: column {field.name!r} holds {field.type}, and the rows {column.type} that do not fit; "
                "convert them"
            ) from error
        fields.append(pa.field(field.name, kept))
    return pa.table(columns, schema=pa.schema(fields))


def _is_wider(given: pa.DataType, held: pa.DataType) -> bool:
    kinds = (pa.types.is_signed_integer, pa.types.is_unsigned_integer, pa.types.is_floating)
    return any(kind(held) and kind(given) for kind in kinds) and bool(given.bit_width > held.bit_width)
