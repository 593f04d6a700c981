"""The SQL of an exact as-of join for DuckDB. Pure: text in, text out; nothing is read here.

For an entity row (keys, t), the rows that count have the same keys, ``event_timestamp <= t``, ``created``
null or ``<= t``, and ``event_timestamp >= t - ttl``. Of these the one with the greatest event timestamp wins,
ties by the greatest ``created`` (null is the least), then by the greatest values of the tie-break columns.

DuckDB's `ASOF JOIN <https://duckdb.org/docs/stable/sql/query_syntax/from#as-of-joins>`_ takes one inequality
and picks any of equal rows, so the rows are brought into a shape where one is enough. A row is *knowable*
from ``greatest(event_timestamp, created)``. Sorted by (knowable, event, created, tie-break), it can win at
some t if and only if no row before it has a later event, and it is the last of those knowable at its instant:

- any other is never the winner: at every t from which it is known, so is the row that beats it;
- among the rows that are left, both instants ascend, so the latest knowable one has the latest event;
- rows with equal events sort by ``created`` as they should: where the instants of knowing differ, the later
  one is its row's own ``created``.

That is one window over the rows. Where each row is knowable at its event and no two share keys and event (a
`Probe` tells), the window would remove nothing, and it is left out. The TTL is checked on the winner: where
the latest event is too old, all are.

Instants are BIGINT microseconds since 1970 in UTC: no time zone can slip in, and integers sort fastest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from feature_repo.stores.period import EPOCH, MICROSECOND, Period, microseconds

ENTITY_ROWS = "entity_rows"
"""The table of entity rows: BIGINT ``position``, BIGINT ``instant``, and the join keys ``key_0``, ``key_1``…"""

TimestampType = Literal["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMPTZ_NS", "DATE", "VARCHAR"]


_YEARS = (microseconds(datetime.min), microseconds(datetime.max))
_NANOSECONDS = (-(2**63) // 1000 + 1, (2**63 - 1) // 1000)
_LITERALS: dict[TimestampType, tuple[int, int]] = {
    "TIMESTAMP": _YEARS,
    "TIMESTAMPTZ": _YEARS,
    "TIMESTAMP_NS": _NANOSECONDS,
    "TIMESTAMPTZ_NS": _NANOSECONDS,
}
"""The instants that a literal of the type can hold."""


@dataclass(frozen=True)
class Instant:
    """A column that holds instants. One without a time zone is UTC, and so is text without an offset."""

    column: str
    type: TimestampType

    def sql(self) -> str:
        """BIGINT microseconds since 1970, rounded down."""
        match self.type:
            case "DATE":
                return f"epoch_us({quoted(self.column)}::TIMESTAMP)"
            case "VARCHAR":
                return f"epoch_us({quoted(self.column)}::TIMESTAMPTZ)"
            case "TIMESTAMPTZ_NS":  # a cast to microseconds would round to the nearest
                return f"epoch_us({quoted(self.column)}::TIMESTAMP_NS)"
            case _:
                return f"epoch_us({quoted(self.column)})"

    def between(self, period: "Period") -> list[str]:
        """Predicates on the bare column where its type allows, so that Parquet's statistics skip row groups."""
        # The end is exclusive and one microsecond later: nanoseconds within the last microsecond are in.
        end = None if period.end is None else period.end + 1
        bounds = ((">=", period.start), ("<", end))
        return [self._bound(operator, instant) for operator, instant in bounds if instant is not None]

    def _bound(self, operator: str, instant: int) -> str:
        first, last = _LITERALS.get(self.type, (1, 0))
        if not first <= instant <= last:
            return f"{self.sql()} {operator} {instant}"
        offset = "+00" if self.type.startswith("TIMESTAMPTZ") else ""
        literal = (EPOCH + timedelta(microseconds=instant)).replace(tzinfo=None).isoformat(sep=" ")
        return f"{quoted(self.column)} {operator} '{literal}{offset}'::{self.type}"


@dataclass(frozen=True)
class Source:
    """The rows of one feature view.

    Args:
        relation: What stands after FROM, ``read_parquet('…')`` or a table.
        keys: Its join key columns; none where there is one entity only.
        event_timestamp: The instant for which a row holds.
        created: The instant at which it was written, where that is recorded. It decides between rows with equal
            keys and event; and unless ``hindsight``, a row is not known before it.
        tie_break: Columns that decide between rows with equal keys, event and created: the greatest wins.
        hindsight: Whether a row counts from its event on, even if it was written later.
    """

    relation: str
    keys: tuple[str, ...]
    event_timestamp: Instant
    created: Instant | None = None
    tie_break: tuple[str, ...] = ()
    hindsight: bool = False


@dataclass(frozen=True)
class View:
    """One feature view in the join.

    Args:
        source: Its rows.
        entity_keys: The columns of `ENTITY_ROWS` that equal ``source.keys``, in the same order.
        features: (name in the result, column of the source).
        ttl: How long a row holds; none is for ever.
    """

    source: Source
    entity_keys: tuple[str, ...]
    features: tuple[tuple[str, str], ...]
    ttl: timedelta | None = None


@dataclass(frozen=True)
class Probe:
    """What one pass over a view's keys and instants tells, the row of `probe_sql`.

    Args:
        rows: How many lie in the period.
        distinct: How many differ in keys or event; by a 64-bit hash, so that it may fall short, never exceed.
        late: Whether any was created after its event.
        keys: How many keys there are, estimated.
        entity_keys: How many of them the entity rows have, estimated.
    """

    rows: int
    distinct: int
    late: bool
    keys: int
    entity_keys: int


@dataclass(frozen=True)
class Plan:
    """How one view is joined.

    Args:
        ordered: Whether the rows may be joined as they are: all knowable at their events, all distinct.
        distinct: Whether no two rows share keys and event, so that nothing else need be compared.
        selective: Whether to drop the rows of other keys first.
    """

    ordered: bool
    distinct: bool
    selective: bool


FEW_ENTITY_ROWS = 10_000
"""Up to so many entity rows their keys are dropped to first: what is left costs less than a probe."""

SELECTIVITY = 4
"""A semi-join costs about a quarter of joining the rows that it drops."""


def plan(probe: Probe) -> Plan:
    """The cheapest exact way to join what was probed."""
    distinct = probe.rows == probe.distinct
    return Plan(
        ordered=distinct and not probe.late,
        distinct=distinct,
        selective=probe.entity_keys * SELECTIVITY < probe.keys,
    )


def probe_sql(view: View, period: Period) -> str:
    """One row: the fields of `Probe`. Only keys and instants are read."""
    source = view.source
    keys = ", ".join(_key(n) for n in range(len(source.keys)))
    entity_keys = ", ".join(view.entity_keys)
    late = "coalesce(bool_or(knowable > event), false)"
    found = f"approx_count_distinct(hash({keys}))" if keys else "1"
    wanted = f"(SELECT approx_count_distinct(hash({entity_keys})) FROM {ENTITY_ROWS})" if keys else "1"
    return (
        f"SELECT count(*), count(DISTINCT hash({', '.join(filter(None, (keys, 'event')))})), {late}, {found}, {wanted} "
        f"FROM ({_rows(source, (), period.reaching_back(view.ttl))})"
    )


def asof_join_sql(views: Sequence[tuple[View, Plan]], period: Period) -> str:
    """The features of every entity row, in the order of ``position``; nothing else is selected.

    Args:
        views: At least one, each with its plan.
        period: Of the entity rows' instants.
    """
    selected, joins = [], []
    for number, (view, how) in enumerate(views):
        name = f"view_{number}"
        columns = _columns(view)
        selected += [f"{_value(view, name, columns[c])} AS {quoted(f)}" for f, c in view.features]
        on = [f"e.{k} = {name}.{_key(n)}" for n, k in enumerate(view.entity_keys)]
        on.append(f"e.instant >= {name}.{'event' if how.ordered else 'knowable'}")
        joins.append(f"ASOF LEFT JOIN (\n{_joinable(view, how, period)}\n) {name} ON {' AND '.join(on)}")
    return "\n".join(
        (f"SELECT {', '.join(selected)}", f"FROM {ENTITY_ROWS} e", *joins, "ORDER BY e.position")
    )


def latest_sql(source: Source, columns: Sequence[str], period: Period) -> str:
    """The latest row of every key, in the order of the keys: of the rows in the period, by the join's rule.

    The latest event of each key is found from keys and instants alone; whole rows are read where they match.
    """
    where = _where(source.event_timestamp.between(period))
    event = source.event_timestamp.sql()
    keys = [quoted(k) for k in source.keys]
    listed = "".join(f"{k}, " for k in keys)
    # A null key is a group of its own here: what to do with it is for the reader to say.
    matches = [f"r.{k} IS NOT DISTINCT FROM l.{k}" for k in keys] + ["r.__event = l.__event"]
    order = [f"{source.created.sql()} DESC NULLS LAST"] if source.created else []
    order += [f"{quoted(c)} DESC NULLS LAST" for c in source.tie_break]
    partition = f"PARTITION BY {', '.join(f'r.{k}' for k in keys)} " if keys else ""
    return (
        f"SELECT {', '.join(f'r.{quoted(c)}' for c in columns)}\n"
        f"FROM (SELECT *, {event} AS __event FROM {source.relation}{where}) r\n"
        f"JOIN (SELECT {listed}max({event}) AS __event FROM {source.relation}{where} GROUP BY ALL) l\n"
        f"ON {' AND '.join(matches)}\n"
        f"QUALIFY row_number() OVER ({partition}ORDER BY {', '.join(order) or 'r.__event'}) = 1"
        f"{' ORDER BY ' + ', '.join(f'r.{k}' for k in keys) if keys else ''}"
    )


def all_sql(source: Source, columns: Sequence[str], period: Period) -> str:
    """Every row of the period, as it is."""
    where = _where(source.event_timestamp.between(period))
    return f"SELECT {', '.join(quoted(c) for c in columns)} FROM {source.relation}{where}"


def occurrences_sql(views: Sequence[View], period: Period) -> str:
    """The distinct keys and events of the period, over views with the same keys, ordered.

    Columns: ``key_0``, ``key_1``… of the first view's ``entity_keys``, and BIGINT ``event``.
    """
    keys = tuple(_key(n) for n in range(len(views[0].source.keys)))
    parts = [f"SELECT {', '.join((*keys, 'event'))} FROM ({_rows(v.source, (), period)})" for v in views]
    return f"SELECT * FROM ({' UNION '.join(parts)}) ORDER BY {', '.join(('event', *keys))}"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"


def _joinable(view: View, how: Plan, period: Period) -> str:
    columns = tuple(_columns(view))
    rows = _rows(view.source, columns, period.reaching_back(view.ttl))
    if how.selective and view.entity_keys:
        on = " AND ".join(f"e.{k} = r.{_key(n)}" for n, k in enumerate(view.entity_keys))
        rows = f"SELECT r.* FROM ({rows}) r SEMI JOIN {ENTITY_ROWS} e ON {on}"
    if how.ordered:
        return rows
    keys = ", ".join(_key(n) for n in range(len(view.source.keys)))
    partition = f"PARTITION BY {keys} " if keys else ""
    order = ["knowable", "event"]
    if not how.distinct:
        ties = ("created", *(_columns(view)[c] for c in view.source.tie_break))
        order += [f"{column} NULLS FIRST" for column in ties]
    return (
        f"SELECT * FROM ({rows})\nWINDOW known AS ({partition}ORDER BY {', '.join(order)})\n"
        "QUALIFY event >= max(event) OVER known AND lead(knowable) OVER known IS DISTINCT FROM knowable"
    )


def _rows(source: Source, columns: Sequence[str], period: Period) -> str:
    """``key_N``, ``event``, ``created``, ``knowable`` and ``column_N``, of rows that could be joined at all."""
    event = source.event_timestamp.sql()
    created = source.created.sql() if source.created else "NULL::BIGINT"
    selected = [f"{quoted(k)} AS {_key(n)}" for n, k in enumerate(source.keys)]
    # `greatest` passes over a null.
    knowable = event if source.hindsight else f"greatest({event}, {created})"
    selected += [f"{event} AS event", f"{created} AS created", f"{knowable} AS knowable"]
    selected += [f"{quoted(c)} AS column_{n}" for n, c in enumerate(columns)]
    needed = (*source.keys, source.event_timestamp.column)
    where = _where([f"{quoted(c)} IS NOT NULL" for c in needed] + source.event_timestamp.between(period))
    return f"SELECT {', '.join(selected)} FROM {source.relation}{where}"


def _columns(view: View) -> dict[str, str]:
    wanted = dict.fromkeys((*(c for _, c in view.features), *view.source.tie_break))
    return {column: f"column_{n}" for n, column in enumerate(wanted)}


def _value(view: View, name: str, column: str) -> str:
    if view.ttl is None:
        return f"{name}.{column}"
    return f"CASE WHEN e.instant - {name}.event <= {view.ttl // MICROSECOND} THEN {name}.{column} END"


def _key(number: int) -> str:
    return f"key_{number}"


def _where(predicates: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(predicates)}" if predicates else ""
