"""A generated workspace, for whoever has no export at hand: the raw events, and the known truth behind them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from feature_repo.chat.sample.activity import days_of_activity
from feature_repo.chat.sample.channels import found_channels
from feature_repo.chat.sample.joining import live
from feature_repo.chat.sample.population import populate
from feature_repo.chat.sample.preferences import JoinPreference
from feature_repo.chat.sample.structure import days_of_structure
from feature_repo.chat.sample.world import Setting, World
from feature_repo.chat.sample.write import check_out, replacing, write_tables
from feature_repo.clock import EARLIEST, midnight, now
from feature_repo.errors import RecommendError

__all__ = ["SampleReport", "World", "generate", "sample_world"]

UNTIL: Final = date(2025, 9, 1)
"""The first day after a sample's last event, unless told otherwise."""
MOST_USERS: Final = 50_000
FEWEST_DAYS: Final = 7
MOST_DAYS: Final = 2_000


@dataclass(frozen=True)
class SampleReport:
    """What was written.

    Args:
        path: The folder, which ``ingest --format events`` reads.
        rows: Rows by event table.
        since: Day of the first event.
        until: The first day after the last event.
    """

    path: Path
    rows: Mapping[str, int]
    since: date
    until: date


def generate(
    out: Path,
    *,
    users: int = 2000,
    days: int = 180,
    until: date | None = None,
    seed: int = 7,
    on_day: Callable[[int], None] | None = None,
) -> SampleReport:
    """Write the raw export of a generated workspace; the same arguments write the same bytes.

    Args:
        out: A folder that is new, empty, or an earlier sample, which is replaced.
        users: How many users there are in all, programs among them: 1 to 50,000.
        days: How long the sample lasts: 7 to 2,000 days.
        until: The first day after the last event; 2025-09-01 unless given.
        seed: Chooses among the worlds; not negative.
        on_day: Called with each day as it is written, for a progress bar.

    Raises:
        RecommendError: an argument is out of its range, or ``out`` holds something else or cannot be written.
    """
    check_out(out)
    end = UNTIL if until is None else until
    world = sample_world(users=users, days=days, until=end, seed=seed)
    mark = {"users": users, "days": days, "until": end.isoformat(), "seed": seed}
    with replacing(out) as folder:
        happenings = zip(days_of_structure(world), days_of_activity(world, seed), strict=True)
        rows = write_tables(folder, happenings, mark, len(world.setting.channels), on_day)
    return SampleReport(out, rows, world.setting.start, end)


def sample_world(*, users: int = 2000, days: int = 180, until: date | None = None, seed: int = 7) -> World:
    """The known truth behind the sample that ``generate`` writes for the same arguments.

    Raises:
        RecommendError: an argument is out of its range.
    """
    end = UNTIL if until is None else until
    if not 1 <= users <= MOST_USERS:
        raise RecommendError(f"--users {users} is out of range: give 1 to {MOST_USERS}")
    if not FEWEST_DAYS <= days <= MOST_DAYS:
        raise RecommendError(f"--days {days} is out of range: give {FEWEST_DAYS} to {MOST_DAYS}")
    if seed < 0:
        raise RecommendError(f"--seed {seed} is negative: give 0 or more")
    earliest = EARLIEST.date() + timedelta(days=days)
    if end < earliest or midnight(end) > now():
        raise RecommendError(
            f"--until {end} is out of range: give {earliest} (no event is older than 2000) to {now():%Y-%m-%d}"
        )
    drawn, chosen = (np.random.default_rng(s) for s in np.random.SeedSequence([seed, 1]).spawn(2))
    population = populate(drawn, users, days)
    channels = found_channels(drawn, population, days)
    setting = Setting(end - timedelta(days=days), days, population, channels, JoinPreference())
    return World(setting, live(chosen, setting))
