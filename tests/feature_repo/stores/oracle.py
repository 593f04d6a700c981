"""The as-of join by brute force: every entity row against every feature row, in plain Python."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Value = int | float | str | None


Tie = tuple[timedelta | None, tuple[Value, ...]]

TIES: dict[str, list[Tie]] = {
    "created null": [(None, (0.5, 8)), (timedelta(0), (0.5, 7))],
    "value null": [(timedelta(0), (0.5, None)), (timedelta(0), (0.5, 7))],
    "NaN": [(timedelta(0), (None, 7)), (timedelta(0), (-1.0, 7)), (timedelta(0), (math.nan, 7))],
    "created earlier": [(timedelta(minutes=-1), (0.5, 8)), (timedelta(0), (0.5, 7))],
}
"""Of rows with the same keys and event: how long after it they were created, and their values; the winner last."""


@dataclass(frozen=True)
class FeatureRow:
    """A row of a feature view's source. All instants are time zone aware, or none is.

    Args:
        keys: Its join keys.
        event: Its event timestamp.
        created: When it was written; where that is not recorded, it was known from its event on.
        values: Its features, in the order of their names.
    """

    keys: tuple[Value, ...]
    event: datetime | None
    created: datetime | None
    values: tuple[Value, ...]


@dataclass(frozen=True)
class EntityRow:
    """Keys, and the instant as of which features are wanted."""

    keys: tuple[Value, ...]
    instant: datetime | None


def tied(event: datetime, ties: Sequence[Tie]) -> list[FeatureRow]:
    """Rows of one key and event."""
    return [
        FeatureRow((1, "a"), event, None if late is None else event + late, values) for late, values in ties
    ]


def asof_join(
    entity_rows: Sequence[EntityRow], feature_rows: Sequence[FeatureRow], ttl: timedelta | None = None
) -> list[FeatureRow | None]:
    """For every entity row, in order: the feature row that wins, or ``None``.

    A zero ``ttl`` is none, as in Feast. Of rows that are equal in keys, event and created, the one with the
    greatest values wins: a null is less than any value, and NaN is greater.
    """
    return [_winner(row, feature_rows, ttl) for row in entity_rows]


def latest(
    feature_rows: Sequence[FeatureRow], start: datetime, end: datetime
) -> dict[tuple[Value, ...], FeatureRow]:
    """What materialization writes: by keys, the winner of the rows from ``start`` to ``end``."""
    found: dict[tuple[Value, ...], FeatureRow] = {}
    for row in feature_rows:
        if row.event is None or not start <= row.event <= end:
            continue
        if row.keys not in found or _order(row) > _order(found[row.keys]):
            found[row.keys] = row
    return found


def in_hindsight(
    entity_rows: Sequence[EntityRow], feature_rows: Sequence[FeatureRow]
) -> list[FeatureRow | None]:
    """The join without a TTL where a row that was created late counts from its event on."""
    return [
        max((f for f in feature_rows if _matches(row, f)), key=_order, default=None) for row in entity_rows
    ]


def same(left: Value, right: Value) -> bool:
    """Equality under which NaN is itself, and not null."""
    both_nan = isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    return both_nan or (left == right and (left is None) == (right is None))


def _winner(row: EntityRow, feature_rows: Sequence[FeatureRow], ttl: timedelta | None) -> FeatureRow | None:
    return max((f for f in feature_rows if _counts(row, f, ttl)), key=_order, default=None)


def _counts(row: EntityRow, feature: FeatureRow, ttl: timedelta | None) -> bool:
    if not _matches(row, feature) or row.instant is None or feature.event is None:
        return False
    known = feature.created is None or feature.created <= row.instant
    return known and (not ttl or feature.event >= row.instant - ttl)


def _matches(row: EntityRow, feature: FeatureRow) -> bool:
    if None in row.keys or row.keys != feature.keys or row.instant is None or feature.event is None:
        return False
    return feature.event <= row.instant


def _order(row: FeatureRow) -> tuple[datetime, bool, datetime, tuple[tuple[int, float | str], ...]]:
    assert row.event is not None
    return row.event, row.created is not None, row.created or row.event, tuple(map(_rank, row.values))


def _rank(value: Value) -> tuple[int, float | str]:
    if value is None:
        return (0, 0.0)
    if isinstance(value, float) and math.isnan(value):
        return (2, 0.0)
    return (1, value)
