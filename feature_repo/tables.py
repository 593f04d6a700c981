"""What an offline table is: keys, a cadence of snapshots, and a Spark query. Domain-free; no Spark here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast, get_args

from feature_repo.clock import days_between
from feature_repo.home import tables_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_repo.windows import Snapshots

Cadence = Literal["daily", "weekly", "monthly"]
CADENCES: tuple[Cadence, ...] = get_args(Cadence)


@dataclass(frozen=True)
class Derived:
    """Frames that several tables are made from: the first table that asks computes one, and it is kept."""

    _frames: dict[tuple[object, "Snapshots | None"], "DataFrame"] = field(default_factory=dict)

    def frame(
        self, derive: object, days: "Snapshots | None", compute: Callable[[], "DataFrame"]
    ) -> "DataFrame":
        """What ``derive`` answers for those days: in memory, or on disk where memory is short."""
        if (derive, days) not in self._frames:
            self._frames[derive, days] = compute().persist()
        return self._frames[derive, days]

    def release(self, *, but: "Snapshots | None" = None) -> None:
        """Let go of every frame; of those for other snapshots only, where ``but`` are still being built."""
        for derive, days in list(self._frames):
            if but is None or days not in (None, but):
                self._frames.pop((derive, days)).unpersist()


@dataclass(frozen=True)
class Inputs:
    """What a table is built from: ``inputs[name]`` is the Spark data frame of that name.

    Args:
        frames: One for every event table, and one for each offline table that is read.
        derived: What this run has derived from the events so far.
    """

    frames: Mapping[str, "DataFrame"]
    derived: Derived = field(default_factory=Derived)

    def __getitem__(self, name: str) -> "DataFrame":
        return self.frames[name]


Derive = TypeVar("Derive", bound=Callable[..., "DataFrame"])


def shared(derive: Derive) -> Derive:
    """Let ``derive(inputs)`` be computed once a run, and ``derive(inputs, days)`` once for the same snapshots.

    Tables read different offline tables, so that it may derive from event tables alone.
    """

    @wraps(derive)
    def once(inputs: Inputs, days: "Snapshots | None" = None) -> "DataFrame":
        arguments = (inputs,) if days is None else (inputs, days)
        return inputs.derived.frame(derive, days, lambda: derive(*arguments))

    return cast(Derive, once)


@dataclass(frozen=True)
class OfflineTable:
    """A table with one snapshot a day: the row dated D knows the events before D and nothing later.

    Args:
        name: Its name, and that of its folder.
        keys: The join keys of a row, without the instant.
        build: ``(inputs, days) -> rows``. ``inputs`` has the event tables and the offline tables in
            ``reads``; rows have ``workspace_id``, ``day``, the keys and the features. It is pure: the same
            inputs and days give the same rows, in one run or many.
        reads: Offline tables of the same day that it is made from; they are built first.
        cadence: On which days a snapshot is due: every day, on Mondays, or on the first of the month.
    """

    name: str
    keys: tuple[str, ...]
    build: Callable[[Inputs, "Snapshots"], "DataFrame"]
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
