"""Snapshots over windows: which events a row dated D may see. Domain-free Spark expressions.

Every window ends at midnight before day D: ``age`` is ``D − event day`` in days, so an event of D itself has
age 0 and is never seen, and the last 7 days are the ages 1 to 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

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
        return SparkSession.active().createDataFrame([(d,) for d in self.days], "day date")

    def sees(self, span: int) -> Column:
        """Whether any snapshot looks back on the event day ``day``; prunes the files to read."""
        earliest, latest = min(self.days) - timedelta(days=span), max(self.days) - timedelta(days=1)
        return F.col("day").between(F.lit(earliest), F.lit(latest))


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
    age = F.date_diff(F.col("snapshot"), F.col("day"))
    snapshots = F.broadcast(days.frame.withColumnRenamed("day", "snapshot"))
    return (
        events.where(days.sees(span))
        .join(snapshots, age.between(1, span))
        .withColumn("age", age)
        .drop("day")
        .withColumnRenamed("snapshot", "day")
    )


def total(column: str, within: int) -> Column:
    """Sum of ``column`` over the last ``within`` days, float."""
    return F.sum(F.when(F.col("age") <= within, F.col(column)).otherwise(0)).cast("float")


def distinct(column: str, within: int) -> Column:
    """How many different values ``column`` took in the last ``within`` days, float."""
    return F.count_distinct(F.when(F.col("age") <= within, F.col(column))).cast("float")


def days_since(instant: Column, day: str = "day") -> Column:
    """Days from ``instant`` to the snapshot's midnight, float; null where ``instant`` is."""
    midnight = F.unix_timestamp(F.col(day).cast("timestamp"))
    return ((midnight - F.unix_timestamp(instant)) / SECONDS_A_DAY).cast("float")


def top(rows: DataFrame, keys: Sequence[str], score: Sequence[Column], most: int) -> DataFrame:
    """The best ``most`` rows of each snapshot and key, with their ``place`` (1 is best)."""
    order = Window.partitionBy("workspace_id", "day", *keys).orderBy(*score)
    return rows.withColumn("place", F.row_number().over(order)).where(F.col("place") <= most)


def as_list(rows: DataFrame, keys: Sequence[str], value: str, name: str) -> DataFrame:
    """Collect ``value`` into one list per snapshot and key, in the order of ``place``."""
    ordered = F.array_sort(F.collect_list(F.struct("place", value)))
    return rows.groupBy("workspace_id", "day", *keys).agg(
        F.transform(ordered, lambda entry: entry[value]).alias(name)
    )
