"""What an offline table is: keys, a cadence of snapshots, and a Spark query. Domain-free; no Spark here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args

from feature_repo.clock import days_between
from feature_repo.home import tables_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_repo.windows import Snapshots

Cadence = Literal["daily", "weekly", "monthly"]
CADENCES: tuple[Cadence, ...] = get_args(Cadence)


@dataclass(frozen=True)
class OfflineTable:
    """A table with one snapshot a day: the row dated D knows the events before D and nothing later.

    Args:
        name: Its name, and that of its folder.
        keys: The join keys of a row, without the instant.
        build: ``(inputs, days) -> rows``. ``inputs[name]`` is the Spark data frame of an event table, or of
            an offline table in ``reads``; Rows have ``workspace_id``, ``day``, the keys and the
            features. It is pure: the same inputs and days give the same rows, in one run or many.
        reads: Offline tables of the same day that it is made from; they are built first.
        cadence: On which days a snapshot is due: every day, on Mondays, or on the first of the month.
    """

    name: str
    keys: tuple[str, ...]
    build: Callable[["dict[str, DataFrame]", "Snapshots"], "DataFrame"]
    reads: tuple[str, ...] = ()
    cadence: Cadence = "daily"

    def at(self, cadence: Cadence) -> Self:
        """The same table at another cadence."""
        return replace(self, cadence=cadence)

    def due(self, since: date, as_of: date) -> list[date]:
        """Snapshot days from ``since`` to ``as_of``; ``as_of`` itself is always one."""
        return [day for day in days_between(since, as_of) if day == as_of or _is_due(self.cadence, day)]


def _is_due(cadence: Cadence, day: date) -> bool:
    match cadence:
        case "daily":
            return True
        case "weekly":
            return day.weekday() == 0
        case "monthly":
            return day.day == 1


def partition(table: str, day: date) -> Path:
    """The folder of one snapshot."""
    return tables_path() / table / f"day={day.isoformat()}"


def snapshot_days(table: str) -> list[date]:
    """The days for which a table has a snapshot, in order."""
    return sorted(
        date.fromisoformat(p.name.removeprefix("day=")) for p in (tables_path() / table).glob("day=*")
    )
