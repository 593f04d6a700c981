"""Snapshots over windows: which events a row dated D may see. Domain-free Spark expressions.

Every window ends at midnight before day D: ``age`` is ``D − event day`` in days, so an event of D itself has
age 0 and is never seen, and the last 7 days are the ages 1 to 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

WIDEST = 90
"""Days: the widest window. A pair that was silent for longer leaves the table."""

SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True)
class Snapshots:
    """The days whose rows are to be built, at least one."""

    days: tuple[date, ...]

    @property
    def frame(self) -> DataFrame:
        """One column ``day`` (date), to be broadcast."""
        return _local({"day": pa.array(self.days, pa.date32())})

    def looking_back(self, span: int) -> DataFrame:
        """Every day that a snapshot looks back on: ``day``, ``snapshot`` (dates) and ``age`` (int days)."""
        seen = [(day - timedelta(days=age), day, age) for day in self.days for age in range(1, span + 1)]
        event_days, snapshots, ages = zip(*seen, strict=True)
        return _local(
            {
                "day": pa.array(event_days, pa.date32()),
                "snapshot": pa.array(snapshots, pa.date32()),
                "age": pa.array(ages, pa.int32()),
            }
        )

    def sees(self, span: int) -> Column:
        """Whether any snapshot looks back on the event day ``day``; prunes the files to read."""
        earliest, latest = min(self.days) - timedelta(days=span), max(self.days) - timedelta(days=1)
        return F.col("day").between(F.lit(earliest), F.lit(latest))


def _local(columns: dict[str, pa.Array]) -> DataFrame:
    # From Arrow it is a relation that the planner knows whole: no job is run to broadcast it.
    return SparkSession.active().createDataFrame(pa.table(columns))


def stack(*frames: DataFrame) -> DataFrame:
    """The rows of all frames under one header, null where a frame lacks a column.

    One grouping of a stack does what a chain of outer joins on the same keys would, in one shuffle.
    """
    return reduce(lambda above, below: above.unionByName(below, allowMissingColumns=True), frames)


def daily(events: DataFrame, keys: Sequence[str], **totals: Column) -> DataFrame:
    """Compress events to one row per key and day before they are spread over snapshots.

    Args:
        events: With ``workspace_id``, ``day``, ``event_timestamp`` and the keys.
        keys: The grouping columns.
        totals: Sums by name; ``last_at`` (the latest instant) is always added.
    """
    return events.groupBy("workspace_id", "day", *keys).agg(
        *(total.alias(name) for name, total in totals.items()), F.max("event_timestamp").alias("last_at")
    )


def spread(events: DataFrame, days: Snapshots, span: int = WIDEST) -> DataFrame:
    """Pair each event with every snapshot that sees it.

    Args:
        events: With the column ``day``, the event's own; it is dropped.
        days: The snapshots.
        span: How many days back a snapshot looks.

    Returns:
        The events' columns, ``day`` (the snapshot's) and ``age`` (int days, 1 to ``span``).
    """
    return (
        events.where(days.sees(span))
        .join(F.broadcast(days.looking_back(span)), "day")
        .drop("day")
        .withColumnRenamed("snapshot", "day")
    )


def total(column: str, within: int, span: int = WIDEST) -> Column:
    """Sum of ``column`` over the last ``within`` days, float; null where there is no value in ``span`` days."""
    value, age = F.col(column), F.col("age")
    return F.sum(F.when(age <= within, value).when(value.isNotNull() & (age <= span), 0)).cast("float")


def midnight() -> Column:
    """The instant at which a snapshot's ``day`` begins; what it knows happened before."""
    return F.col("day").cast("timestamp")


def days_since(instant: Column) -> Column:
    """Days from ``instant`` to the snapshot's midnight, float; null where ``instant`` is."""
    seconds = F.unix_timestamp(midnight()) - F.unix_timestamp(instant)
    return (seconds / SECONDS_A_DAY).cast("float")


def top(rows: DataFrame, keys: Sequence[str], score: str, item: str, most: int) -> DataFrame:
    """The ``most`` rows of each snapshot and key with the highest ``score``; of equals, the lower ``item``."""
    order = Window.partitionBy("workspace_id", "day", *keys).orderBy(F.desc(score), F.asc(item))
    return rows.withColumn("place", F.row_number().over(order)).where(F.col("place") <= most).drop("place")


def best(item: str, scores: Sequence[Column], most: int, where: Column | None = None) -> Column:
    """Aggregate: the ids with the highest scores, best first, as an array of at most ``most``.

    Args:
        item: The column of ids.
        scores: Compared in order, null being lowest; of equals the lower id comes first, so that a build
            repeats.
        most: The length at which the list ends.
        where: Which rows count; all, where it is not given.

    Returns:
        Null rather than an empty array where no row counts.
    """
    order = F.struct(*(s.alias(f"score_{n}") for n, s in enumerate(scores)), (-F.col(item)).alias("item"))
    return F.max_by(item, order if where is None else F.when(where, order), most)
