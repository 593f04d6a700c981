"""Builds offline tables: which snapshots are missing, in which order, and how a partition is replaced."""

import shutil
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from graphlib import TopologicalSorter
from itertools import accumulate
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.events import EventTable, register
from feature_repo.home import events_path, home, scratch_path, tables_path
from feature_repo.spark import read_events, session
from feature_repo.tables import CADENCES, Cadence, Derived, Inputs, OfflineTable, partition
from feature_repo.windows import Snapshots

SNAPSHOTS_A_JOB = 31
"""So many snapshots are built in one Spark job: what one job holds stays bounded whatever the history."""


HISTORY = timedelta(days=90)
"""How far back snapshots are built where nothing else is said: enough to train on a window of 30 days."""


@dataclass(frozen=True)
class Step:
    """A piece of work: one table for some days."""

    table: OfflineTable
    days: tuple[date, ...]


@dataclass(frozen=True)
class Built:
    """What one step wrote."""

    table: str
    days: int
    rows: int


def steps(
    tables: Mapping[str, OfflineTable],
    *,
    as_of: date,
    since: date | None = None,
    cadence: str | None = None,
    rebuild: bool = False,
) -> list[Step]:
    """The steps that bring every table up to ``as_of``; a table follows those that it reads.

    Args:
        tables: All tables of the domain, by name.
        as_of: The last snapshot day.
        since: The first one; `HISTORY` earlier than ``as_of`` where it is not given.
        cadence: Instead of the tables' own.
        rebuild: Whether to build what is there already.

    Raises:
        RecommendError: a table reads one that is not declared, or no such cadence.
    """
    if since is not None and since > as_of:
        raise RecommendError(
            f"--since {since} is later than --as-of {as_of}: nothing to build; choose an earlier day"
        )
    other = _cadence(cadence) if cadence is not None else None
    graph = {t.name: set(t.reads) for t in tables.values()}
    if unknown := set().union(*graph.values()) - set(graph):
        raise RecommendError(
            f"offline tables read {', '.join(sorted(unknown))}, which no table file declares"
        )
    written = _events_written()
    ordered = [
        tables[name].at(other or tables[name].cadence) for name in TopologicalSorter(graph).static_order()
    ]
    due = {t.name: t.due(since or as_of - HISTORY, as_of) for t in ordered}
    stale = {name: {d for d in days if rebuild or _is_stale(name, d, written)} for name, days in due.items()}
    # All tables of some days come before the next days: what the tables share is held for those days only.
    return [
        Step(table, days)
        for chunk in _chunks(sorted(set().union(*stale.values())))
        for table in ordered
        if (days := tuple(d for d in chunk if d in stale[table.name]))
    ]


@dataclass(frozen=True)
class _Written:
    """When events were last written: the days that have any, in order, and the latest write up to each."""

    days: tuple[date, ...]
    latest: tuple[float, ...]

    def before(self, day: date) -> float:
        """The time at which an event before ``day`` was last written; 0 where there is none."""
        earlier = bisect_left(self.days, day)
        return self.latest[earlier - 1] if earlier else 0.0


def _events_written() -> _Written:
    at: dict[date, float] = {}
    for file in events_path().glob("*/day=*/*.parquet"):
        day = date.fromisoformat(file.parent.name.removeprefix("day="))
        at[day] = max(at.get(day, 0.0), file.stat().st_mtime)
    days = tuple(sorted(at))
    return _Written(days, tuple(accumulate((at[d] for d in days), max)))


def _is_stale(table: str, day: date, written: _Written) -> bool:
    """Whether a snapshot is missing, or an event that it should have seen came in after it was built."""
    files = list(partition(table, day).glob("*.parquet"))
    return not files or written.before(day) > min(f.stat().st_mtime for f in files)


def build(
    steps: Sequence[Step],
    event_tables: Sequence[EventTable],
    advance: Callable[[Step], None] = lambda step: None,
) -> list[Built]:
    """Run the steps in order. A partition appears whole or not at all, and replaces an earlier one.

    Args:
        steps: From `steps`.
        event_tables: The domain's.
        advance: Told of each step that is done.
    """
    if not steps:
        return []
    spark = session("recommend tables")
    events = {t.name: read_events(spark, t) for t in event_tables}
    derived = Derived()
    built = []
    for step in steps:
        days = Snapshots(step.days)
        derived.release(but=days)
        read = {name: _read_snapshots(spark, name, step.days) for name in step.table.reads}
        try:
            _write(step, step.table.build(Inputs(events | read, derived), days))
        except (Py4JJavaError, PySparkException) as error:
            reason = str(error).strip().splitlines()[0]
            raise RecommendError(
                f"Spark failed on table {step.table.name} ({reason}); see {home() / 'spark.log'}. "
                "If memory ran out, set RECOMMEND_SPARK_MEMORY (default 4g)"
            ) from error
        built.append(Built(step.table.name, len(step.days), _count(step)))
        advance(step)
    derived.release()
    return built


def summary(built: Sequence[Built]) -> dict[str, tuple[int, int]]:
    """Snapshots and rows that were written, by table."""
    return {
        name: (sum(b.days for b in built if b.table == name), sum(b.rows for b in built if b.table == name))
        for name in dict.fromkeys(b.table for b in built)
    }


def check_as_of(tables: Sequence[EventTable], as_of: datetime) -> None:
    """See that there is anything to build from.

    Raises:
        RecommendError: there are no events, or none before ``as_of``.
    """
    first = first_event(tables)
    if as_of <= first:
        raise RecommendError(
            f"as of {as_of:%Y-%m-%d %H:%M} nothing had happened: the first event is of {first:%Y-%m-%d %H:%M}; "
            "choose a later --as-of"
        )


def first_event(tables: Sequence[EventTable]) -> datetime:
    """The instant of the first event. Profile rows of unknown age, which lie at `EARLIEST`, are none.

    Raises:
        RecommendError: there are no events.
    """
    with duckdb.connect() as connection:
        register(connection, tables)
        instants = " UNION ALL ".join(f"SELECT event_timestamp FROM {t.name}" for t in tables)
        row = connection.execute(
            f"SELECT min(event_timestamp) FROM ({instants}) WHERE event_timestamp > ?", [EARLIEST]
        ).fetchone()
    if row is None or row[0] is None:
        raise RecommendError("there are no events yet: run `recommend ingest PATH` first")
    instant: datetime = row[0]
    return instant


def _write(step: Step, rows: DataFrame) -> None:
    midnight = F.col("day").cast("timestamp")
    first = [c for c in ("workspace_id", *step.table.keys) if c in rows.columns]
    ordered = [*dict.fromkeys(first), *sorted(set(rows.columns) - {*first, "day"})]
    shaped = rows.select(*ordered, midnight.alias("event_timestamp"), midnight.alias("created"), "day")
    staged = scratch_path() / step.table.name
    (
        shaped.repartition(len(step.days), "day")
        .sortWithinPartitions("day", *step.table.keys)
        .write.mode("overwrite")
        .partitionBy("day")
        .parquet(str(staged))
    )
    for day in step.days:
        new = staged / partition(step.table.name, day).name
        if not new.exists():  # a day without rows is a fact as well: an empty file says that it was built
            new.mkdir()
            empty = to_arrow_schema(shaped.drop("day").schema, timezone="UTC").empty_table()
            pq.write_table(empty, new / "part-00000.parquet")
        _replace(partition(step.table.name, day), new)
    shutil.rmtree(staged)


def _replace(old: Path, new: Path) -> None:
    if old.exists():
        shutil.rmtree(old)
    old.parent.mkdir(parents=True, exist_ok=True)
    new.rename(old)


def _read_snapshots(spark: SparkSession, name: str, days: Sequence[date]) -> DataFrame:
    # Named one by one, so that Spark lists no more folders than it reads.
    folders = [str(partition(name, day)) for day in days]
    frame = spark.read.option("basePath", str(tables_path() / name)).parquet(*folders)
    return frame.drop("event_timestamp", "created")


def _count(step: Step) -> int:
    files = (f for d in step.days for f in partition(step.table.name, d).glob("*.parquet"))
    return sum(pq.read_metadata(f).num_rows for f in files)


def _cadence(text: str) -> Cadence:
    for known in CADENCES:
        if text == known:
            return known
    raise RecommendError(f"no cadence {text!r}: choose one of {', '.join(CADENCES)}")


def _chunks(days: Sequence[date]) -> Iterator[Sequence[date]]:
    return (days[n : n + SNAPSHOTS_A_JOB] for n in range(0, len(days), SNAPSHOTS_A_JOB))
