"""What an offline table is: keys, a cadence of snapshots, and a Spark query. Domain-free; no Spark here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal, Self

from feature_repo.clock import days_between

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Cadence = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True)
class OfflineTable:
    """A table with one snapshot a day: the row dated D knows the events before D and nothing later.

    Args:
        name: Its name, and that of its folder.
        keys: The join keys of a row, without the instant.
        build: ``(events, days) -> rows``. ``events[name]`` is the Spark data frame of an event table;
            ``days`` has the one column ``day`` (date). Rows have ``workspace_id``, ``day``, the keys and
            the features. It is pure: the same events and days give the same rows, in one run or many.
        cadence: On which days a snapshot is due: every day, on Mondays, or on the first of the month.
    """

    name: str
    keys: tuple[str, ...]
    build: Callable[["dict[str, DataFrame]", "DataFrame"], "DataFrame"]
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
