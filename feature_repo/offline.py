"""Builds offline tables: which snapshots are missing, in which order, and how a partition is replaced."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from graphlib import TopologicalSorter

import duckdb
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from feature_repo.errors import RecommendError
from feature_repo.events import EventTable, register
from feature_repo.home import tables_path
from feature_repo.spark import read_events
from feature_repo.tables import OfflineTable, partition
from feature_repo.windows import Snapshots

SNAPSHOTS_A_JOB = 31
"""So many snapshots are built in one Spark job: what one job holds stays bounded whatever the history."""


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


def plan(
    tables: Mapping[str, OfflineTable], since: date, as_of: date, *, rebuild: bool = False
) -> list[Step]:
    """The steps that bring every table up to ``as_of``; a table follows those that it reads.

    Raises:
        RecommendError: a table reads one that is not declared.
    """
    graph = {t.name: set(t.reads) for t in tables.values()}
    if unknown := set().union(*graph.values()) - set(graph):
        raise RecommendError(
            f"offline tables read {', '.join(sorted(unknown))}, which no table file declares"
        )
    steps = []
    for name in TopologicalSorter(graph).static_order():
        table = tables[name]
        missing = [d for d in table.due(since, as_of) if rebuild or not partition(name, d).exists()]
        steps += [Step(table, tuple(days)) for days in _chunks(missing)]
    return steps


def build(
    spark: SparkSession,
    steps: Sequence[Step],
    event_tables: Sequence[EventTable],
    advance: Callable[[Step], None] = lambda step: None,
) -> list[Built]:
    """Run the steps in order. A partition appears whole or not at all, and replaces an earlier one."""
    for leftover in tables_path().glob("*/.spark-staging-*"):
        shutil.rmtree(leftover)
    # Every table reads the events, and a day's file is small: opening them once is most of the cost.
    events = {t.name: read_events(spark, t).persist() for t in event_tables}
    built = []
    for step in steps:
        inputs = events | {name: _read_snapshots(spark, name, step.days) for name in step.table.reads}
        _write(step, step.table.build(inputs, Snapshots(step.days)))
        built.append(Built(step.table.name, len(step.days), _count(step)))
        advance(step)
    for frame in events.values():
        frame.unpersist()
    return built


def first_event(tables: Sequence[EventTable], earliest: datetime) -> datetime:
    """The instant of the first event later than ``earliest`` (profile rows of unknown age lie there).

    Raises:
        RecommendError: there are no events.
    """
    with duckdb.connect() as connection:
        register(connection, tables)
        instants = " UNION ALL ".join(f"SELECT event_timestamp FROM {t.name}" for t in tables)
        row = connection.execute(
            f"SELECT min(event_timestamp) FROM ({instants}) WHERE event_timestamp > ?", [earliest]
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
    folder = tables_path() / step.table.name
    (
        shaped.repartition(len(step.days), "day")
        .sortWithinPartitions("day", *step.table.keys)
        .write.mode("overwrite")
        .partitionBy("day")
        .parquet(str(folder))
    )
    # A day without rows is a fact as well: an empty file says that it was built.
    for day in step.days:
        if not partition(step.table.name, day).exists():
            partition(step.table.name, day).mkdir(parents=True)
            empty = to_arrow_schema(shaped.drop("day").schema, timezone="UTC").empty_table()
            pq.write_table(empty, partition(step.table.name, day) / "part-00000.parquet")


def _read_snapshots(spark: SparkSession, name: str, days: Sequence[date]) -> DataFrame:
    frame = spark.read.parquet(str(tables_path() / name))
    return frame.where(F.col("day").isin(list(days))).drop("event_timestamp", "created")


def _count(step: Step) -> int:
    files = (f for d in step.days for f in partition(step.table.name, d).glob("*.parquet"))
    return sum(pq.read_metadata(f).num_rows for f in files)


def _chunks(days: Sequence[date]) -> Iterator[Sequence[date]]:
    return (days[n : n + SNAPSHOTS_A_JOB] for n in range(0, len(days), SNAPSHOTS_A_JOB))
