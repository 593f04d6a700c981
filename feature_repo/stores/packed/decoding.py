"""Stored rows of one view to columns of numbers, a batch at a time, whatever is wrong with some of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.stores.packed.checksum import checks, is_sound
from feature_repo.stores.packed.layout import FORMAT, Form, Layout
from feature_repo.stores.packed.layout_book import LayoutBook
from feature_repo.stores.packed.matrix_plan import ViewPlan


@dataclass(frozen=True)
class RowCounts:
    """What became of the rows of one view in one read.

    Attributes:
        asked: keys looked for.
        missing: nothing is stored.
        expired: older than the view's ttl at the instant of the read.
        future: dated after the instant of the read, at which nobody could have known it.
        other_layout: written before the view's fields changed; columns that kept name and type are given.
        corrupt: damaged.
    """

    asked: int = 0
    missing: int = 0
    expired: int = 0
    future: int = 0
    other_layout: int = 0
    corrupt: int = 0


def fill(
    out: NDArray[np.float32], plan: ViewPlan, rows: Sequence[bytes | None], as_of: int, layouts: LayoutBook
) -> RowCounts:
    """Write the columns of a view into ``out``, float32 ``[len(rows), len(plan.columns)]``; NaN where there is none.

    Args:
        out: a slice of the matrix; overwritten.
        plan: the view.
        rows: stored rows; None where missing.
        as_of: microseconds since 1970.
        layouts: where the layouts of rows written under another are found.
    """
    layout, size = plan.layout, plan.layout.dtype.itemsize
    if rows and not layout.variable:
        whole = b"".join(rows) if None not in rows else b""  # type: ignore[arg-type]
        if len(whole) == size * len(rows):
            table = np.frombuffer(whole, layout.dtype)
            # A row of this size that is not of this layout is told by its head, so no row is read shifted.
            if (table["head"] == layout.head).all() and (table["check"] == checks(table)).all():
                _columns(out, layout, table, plan.columns)
                return _drop_untimely(out, table["event"], plan.ttl, as_of)
    return _fill_mixed(out, plan, rows, as_of, layouts)


def _fill_mixed(
    out: NDArray[np.float32], plan: ViewPlan, rows: Sequence[bytes | None], as_of: int, layouts: LayoutBook
) -> RowCounts:
    """The same where rows are missing, of several layouts, of variable length, or damaged."""
    out.fill(np.nan)
    groups: dict[bytes, list[int]] = {}
    missing = corrupt = 0
    for i, row in enumerate(rows):
        if row is None:
            missing += 1
        else:
            groups.setdefault(row[:8], []).append(i)
    counts = RowCounts(len(rows), missing)
    expired = future = other = 0
    for raw, places in groups.items():
        head = int.from_bytes(raw, "little")
        layout = plan.layout if head == plan.layout.head else layouts.find(head)
        if layout is None:
            known_format = len(raw) == 8 and raw[0] == FORMAT
            other, corrupt = other + known_format * len(places), corrupt + (not known_format) * len(places)
            continue
        whole = [i for i in places if is_intact(layout, rows[i] or b"")]
        corrupt += len(places) - len(whole)
        other += len(whole) if layout is not plan.layout else 0
        size = layout.dtype.itemsize
        table = np.frombuffer(b"".join([(rows[i] or b"")[:size] for i in whole]), layout.dtype)
        part = np.full((len(whole), len(plan.columns)), np.nan, np.float32)
        _matched(part, plan, layout, table)
        dropped = _drop_untimely(part, table["event"], plan.ttl, as_of)
        expired, future = expired + dropped.expired, future + dropped.future
        out[whole] = part
    return RowCounts(counts.asked, missing, expired, future, other, corrupt)


def is_intact(layout: Layout, row: bytes) -> bool:
    """Whether a row with this layout's head has the length and the checksum that it says it has."""
    size = layout.dtype.itemsize
    if len(row) < size or not is_sound(row, size):
        return False
    if not layout.variable:
        return len(row) == size
    ends = np.frombuffer(row, "<u4", len(layout.variable), size - 4 * len(layout.variable))
    return bool((ends[1:] >= ends[:-1]).all()) and len(row) == size + int(ends[-1])


def is_timely(event: int, ttl: int, as_of: int) -> bool:
    """Whether a row dated ``event`` is known and not expired at ``as_of``; all in microseconds."""
    return event <= as_of and (not ttl or as_of - event <= ttl)


def _drop_untimely(out: NDArray[np.float32], event: NDArray[np.int64], ttl: int, as_of: int) -> RowCounts:
    if len(event) and is_timely(int(event.max()), ttl, as_of) and is_timely(int(event.min()), ttl, as_of):
        return RowCounts(len(event))
    future = event > as_of
    expired = as_of - event > ttl if ttl else np.zeros(len(event), np.bool_)
    gone = future | expired
    if gone.any():
        out[gone] = np.nan
    return RowCounts(len(event), expired=int(expired.sum()), future=int(future.sum()))


def _matched(out: NDArray[np.float32], plan: ViewPlan, layout: Layout, table: "NDArray[np.void]") -> None:
    """The columns that the rows' layout shares with the view's, by name and type."""
    wanted = [plan.layout.columns[i] for i in plan.columns]
    found = [(at, layout.positions.get(c.name)) for at, c in enumerate(wanted)]
    kept = [(at, i) for at, i in found if i is not None and layout.columns[i] == wanted[at]]
    if kept:
        part = np.empty((len(table), len(kept)), np.float32)
        _columns(part, layout, table, [i for _, i in kept])
        out[:, [at for at, _ in kept]] = part


def _columns(
    out: NDArray[np.float32], layout: Layout, table: "NDArray[np.void]", columns: Sequence[int]
) -> None:
    """Columns by their positions in the layout. A null Float32 is stored as NaN; other types have the bitmap."""
    if tuple(columns) == layout.floats:
        out[:] = table["floats"]
        return
    for at, i in enumerate(columns):
        if layout.columns[i].type == "FLOAT":
            out[:, at] = table["floats"][:, layout.floats.index(i)]
        elif layout.columns[i].encoding.form is Form.FIXED:
            out[:, at] = table[str(i)]
            null = table["nulls"][:, i // 8] >> (i % 8) & 1
            if null.any():
                out[null.astype(np.bool_), at] = np.nan
