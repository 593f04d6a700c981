"""The exact as-of join for Spark. Pure: data frames in, a data frame out; nothing runs here.

For an entity row (keys, t), the feature rows that count have the same keys, ``event_timestamp <= t``, ``created``
null or ``<= t``, and ``event_timestamp >= t - ttl``. Of these the one with the greatest event timestamp wins,
ties by the greatest ``created`` (null is the least), then by the greatest values of the tie-break columns and of the
features, compared in the order of the columns' names (null is the least, NaN the greatest).

A feature row is *knowable* from ``greatest(event_timestamp, created)``. Entity rows and feature rows are put one
below the other, partitioned by the keys, and sorted by the instant at which they are knowable or asked for,
feature rows first. The rows that count are then exactly the feature rows up to the entity row, and the winner is
the running maximum of (event_timestamp, created, features): the latest *known* row need not be the latest *row*.
The TTL is checked on the winner: where the latest event is too old, all are.

One shuffle and one sort for all views with the same keys, and O(n log n) however the keys are distributed. Spark
4.3 has an ``ASOF JOIN`` of its own, which goes through all rows of a key anew for every row on the left, and takes
any of equal ones. A key with most of the entity rows, such as the only workspace, would still be the work of one
task: where the feature rows are few, they are replicated, and the entity rows of each key are dealt out.

Instants are bigint microseconds since 1970 in UTC, so that the session's time zone cannot slip in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from itertools import groupby

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feature_repo.stores.period import MICROSECOND
from feature_repo.stores.spark.instants import microseconds
from feature_repo.stores.spark.packed_columns import PackedColumns

REPLICATED_BYTES = 16 * 2**20
"""Up to so many bytes of feature rows, over all replicas, are shuffled to deal out the entity rows of a key."""

_ORDER, _REPLICA = "__asof_order", "__asof_replica"
_EVENT, _CREATED = "__asof_event", "__asof_created"
_BEFORE_ALL = -(2**63) + 1


@dataclass(frozen=True)
class FeatureRows:
    """The rows of one feature view.

    Args:
        rows: Of its source; columns besides those named here are not read.
        keys: (column of the entity rows, column of ``rows``); none where there is one entity only.
        features: (name in the result, column of ``rows``).
        event_timestamp: The column of instants for which rows hold; without a time zone, they are UTC.
        created: The column of instants at which rows were written, where that is recorded.
        tie_break: Columns that decide as the features do; with all of the view's, the same row wins whichever
            features are asked for.
        ttl: How long a row holds, the last microsecond included; none is for ever.
        hindsight: Whether a row counts from its event on, even if it was created later.
    """

    rows: DataFrame
    keys: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    event_timestamp: str
    created: str | None = None
    tie_break: tuple[str, ...] = ()
    ttl: timedelta | None = None
    hindsight: bool = False

    @property
    def entity_keys(self) -> tuple[str, ...]:
        """The columns of the entity rows that are keys here."""
        return tuple(key for key, _ in self.keys)

    def packed(self, number: int) -> PackedColumns:
        """What its rows are compared by, each column once; ``number`` tells the views apart."""
        columns = sorted({*(column for _, column in self.features), *self.tie_break})
        return PackedColumns.of(self.rows.schema, columns, prefix=f"__asof_{number}_")


def asof_join(entity_rows: DataFrame, event_timestamp: str, views: Sequence[FeatureRows]) -> DataFrame:
    """The features of every entity row as of its instant.

    Args:
        entity_rows: At least the views' keys, and instants.
        event_timestamp: The column of instants; without a time zone, they are UTC. A null one knows nothing.
        views: In the order of the result's columns.

    Returns:
        The entity rows' columns, then the features: as many rows as there were, in no order.

    Raises:
        ValueError: a feature would take the name of another column; a key is missing or of another kind.
        TypeError: a column of instants holds none.
    """
    _check_names(entity_rows, views)
    # Asked for at t, a row comes after those that are knowable at t: 2t + 1 against 2t.
    asked = microseconds(entity_rows, event_timestamp) * 2 + 1
    joined = entity_rows.withColumn(_ORDER, F.coalesce(asked, F.lit(_BEFORE_ALL)))
    # The fewer features a view has, the earlier: rows grow with every pass that they are shuffled in.
    numbered = sorted(enumerate(views), key=lambda pair: (pair[1].entity_keys, len(pair[1].features)))
    passes = [list(same) for _, same in groupby(numbered, key=lambda pair: pair[1].entity_keys)]
    for group in sorted(passes, key=lambda same: sum(len(view.features) for _, view in same)):
        joined = _pass(joined, group)
    features = [
        view.packed(number).value(column).alias(name)
        for number, view in enumerate(views)
        for name, column in view.features
    ]
    return joined.select(*entity_rows.columns, *features)


def _pass(left: DataFrame, group: Sequence[tuple[int, FeatureRows]]) -> DataFrame:
    """Add the packed features of some views with the same keys."""
    keys = group[0][1].entity_keys
    replicas = _replicas(left, [view for _, view in group])
    rows = left
    known = [_knowable(left, number, view) for number, view in group]
    if replicas > 1:
        # Each replica meets its share of a key's entity rows.
        every = F.explode(F.sequence(F.lit(0), F.lit(replicas - 1)))
        rows = rows.withColumn(_REPLICA, F.pmod(F.xxhash64(*_hashable(left)), F.lit(replicas)).cast("int"))
        known = [frame.withColumn(_REPLICA, every) for frame in known]
        keys = (*keys, _REPLICA)
    for frame in known:
        rows = rows.unionByName(frame, allowMissingColumns=True)
    by_key = Window.partitionBy(*keys).orderBy(_ORDER)
    so_far = by_key.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    winners = {_winner(number): F.max(_winner(number)).over(so_far) for number, _ in group}
    found = {name: value for number, view in group for name, value in _in_time(number, view).items()}
    joined = rows.withColumns(winners).where(F.col(_ORDER) % 2 != 0).withColumns(found)
    return joined.drop(_REPLICA, *winners)


def _knowable(left: DataFrame, number: int, view: FeatureRows) -> DataFrame:
    """The view's rows: keys named and typed as the entity rows', order, and what they are compared by."""
    rows = view.rows
    event = microseconds(rows, view.event_timestamp)
    created = microseconds(rows, view.created) if view.created else F.lit(None).cast("bigint")
    # `greatest` passes over a null.
    known = event if view.hindsight or view.created is None else F.greatest(event, created)
    compared = F.struct(event.alias(_EVENT), created.alias(_CREATED), *view.packed(number).columns())
    keys = [_key(left.schema, rows.schema, *pair).alias(pair[0]) for pair in view.keys]
    selected = rows.where(event.isNotNull()).select(
        *keys, (known * 2).alias(_ORDER), compared.alias(_winner(number))
    )
    # A null key matches nothing; in a window's partition it would match another.
    return reduce(lambda frame, key: frame.where(F.col(key).isNotNull()), view.entity_keys, selected)


def _in_time(number: int, view: FeatureRows) -> dict[str, Column]:
    """The winner's packs; null where there is no winner, or where it is too old."""
    winner = F.col(_winner(number))
    packed = view.packed(number)
    packs = {name: winner[name] for name in packed.holding([column for _, column in view.features])}
    if not view.ttl:
        return packs
    # Twice the age, and one.
    fresh = F.col(_ORDER) - winner[_EVENT] * 2 <= view.ttl // MICROSECOND * 2 + 1
    return {name: F.when(fresh, pack) for name, pack in packs.items()}


def _replicas(left: DataFrame, views: Sequence[FeatureRows]) -> int:
    """Into how many parts the entity rows of one key are dealt out."""
    partitions = int(left.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
    # What the optimizer would decide a broadcast by; Python's data frame does not show it.
    plans = [v.rows._jdf.queryExecution().optimizedPlan().stats().sizeInBytes() for v in views]
    size = sum(int(str(p)) for p in plans)
    return max(1, min(partitions, REPLICATED_BYTES // max(size, 1)))


def _hashable(left: DataFrame) -> list[str]:
    """Columns by which equal keys and instants are told apart, cheaply: those of atomic types."""
    return [f.name for f in left.schema if isinstance(f.dataType, T.AtomicType)]


def _key(entity: T.StructType, source: T.StructType, entity_key: str, column: str) -> Column:
    """The source's key in the type of the entity rows' key; null where that type cannot hold it, and so
    nothing can equal it."""
    if entity_key not in entity.fieldNames():
        raise ValueError(
            f"entity rows: no column {entity_key!r}, a join key; there are {', '.join(entity.fieldNames())}"
        )
    wanted, held = entity[entity_key].dataType, source[column].dataType
    if isinstance(wanted, T.NullType) or wanted == held:
        return F.col(column).cast(held)
    if isinstance(wanted, T.NumericType) and isinstance(held, T.NumericType):
        return F.col(column).try_cast(wanted)
    if isinstance(wanted, T.StringType) and isinstance(held, T.StringType):
        return F.col(column)
    raise ValueError(
        f"entity rows: join key {entity_key!r} is {wanted.simpleString()}, while the feature view's source holds "
        f"{held.simpleString()} in {column!r}; convert one of the two"
    )


def _check_names(entity_rows: DataFrame, views: Sequence[FeatureRows]) -> None:
    taken = {name.casefold() for name in entity_rows.columns}  # Spark's names do not differ by case alone
    for name, _ in (feature for view in views for feature in view.features):
        if name.casefold() in taken:
            raise ValueError(
                f"feature {name!r} would be a second column of that name in the result: rename the column of the "
                "entity rows, or ask for full_feature_names"
            )
        taken.add(name.casefold())


def _winner(number: int) -> str:
    return f"__asof_{number}_winner"
