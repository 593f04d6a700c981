"""The channels that people found: public ones that are born and archived, and a private one for each team."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.events import PRIVATE, PUBLIC
from feature_repo.chat.sample.population import TOPICS, Population, unit_rows
from feature_repo.chat.sample.rhythm import DAY, HOUR, MINUTE, NEVER, SECOND

GENERAL: Final = 0
"""Index of the public channel that everybody is put into."""

_USERS_PER_CHANNEL: Final = 12
_FOUNDED: Final = 0.6
_LIFE_DAYS: Final = 450.0
_SHORTEST_LIFE_DAYS: Final = 21
_DECLINE_DAYS: Final = 30


@dataclass(frozen=True)
class Channels:
    """Public and private channels, the public ones first; arrays of shape ``[channels]`` unless said otherwise.

    Args:
        kind: PUBLIC or PRIVATE, int8.
        team: The team it belongs to, -1 for a public one; int32.
        creator: Index of the user who created it, int32.
        topics: Weight of each topic, rows of unit length, float32 ``[channels, TOPICS]``.
        liveliness: How talkative it is, against another that people care for as much.
        birth: Instant of its creation.
        death: Instant of its archival, or NEVER.
    """

    kind: NDArray[np.int8]
    team: NDArray[np.int32]
    creator: NDArray[np.int32]
    topics: NDArray[np.float32]
    liveliness: NDArray[np.float64]
    birth: NDArray[np.int64]
    death: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def public(self) -> int:
        """How many are public: these are the indices below it."""
        return int((self.kind == PUBLIC).sum())

    def open(self, day: int) -> NDArray[np.bool_]:
        """Which are there for the whole of a day: born before it, and not archived in it."""
        return (self.birth < day * DAY) & (self.death >= (day + 1) * DAY)

    def vitality(self, day: int) -> NDArray[np.float64]:
        """How much is said in each, against its best days: a channel goes quiet before it is archived."""
        remaining = (self.death - day * DAY) / DAY
        return self.liveliness * np.clip(remaining / _DECLINE_DAYS, 0.05, 1.0)


def found_channels(rng: np.random.Generator, population: Population, days: int) -> Channels:
    """Draw the channels of a population: about one public one for 12 users, and one for each team."""
    public = max(3, round(len(population) / _USERS_PER_CHANNEL))
    topics = unit_rows(rng.dirichlet(np.full(TOPICS, 0.08), public))
    topics[GENERAL] = unit_rows(np.ones((1, TOPICS)))[0]
    birth, death = _lives(rng, public, days)
    creator = np.array([_creator(rng, population, topics[c], int(birth[c])) for c in range(public)], np.int32)
    creator[GENERAL], birth[GENERAL], death[GENERAL] = 0, population.arrival[0] + MINUTE, NEVER

    people = np.flatnonzero(~population.is_bot)
    teams, first = np.unique(population.team[people], return_index=True)
    lead = people[first].astype(np.int32)
    team_topics = np.zeros((len(teams), TOPICS))
    np.add.at(team_topics, np.searchsorted(teams, population.team[people]), population.interests[people])
    return Channels(
        kind=np.repeat(np.array([PUBLIC, PRIVATE], np.int8), [public, len(teams)]),
        team=np.concatenate([np.full(public, -1, np.int32), teams]),
        creator=np.concatenate([creator, lead]),
        topics=np.concatenate([topics, unit_rows(team_topics)]),
        liveliness=np.concatenate([rng.lognormal(0.0, 0.7, public), np.full(len(teams), 1.3)]),
        birth=np.concatenate([birth, population.arrival[lead] + MINUTE]),
        death=np.concatenate([death, np.full(len(teams), NEVER)]),
    )


def _lives(rng: np.random.Generator, public: int, days: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    founded = int(np.ceil(_FOUNDED * public))
    born = np.concatenate([np.zeros(founded, np.int64), np.sort(rng.integers(1, days, public - founded))])
    birth = born * DAY + 9 * HOUR + rng.integers(0, 9 * 3600, public) * SECOND
    died = born + _SHORTEST_LIFE_DAYS + rng.exponential(_LIFE_DAYS, public).astype(np.int64)
    death = died * DAY + 12 * HOUR + rng.integers(0, 4 * 3600, public) * SECOND
    return birth, np.where(died < days, death, NEVER)


def _creator(
    rng: np.random.Generator, population: Population, topics: NDArray[np.float32], birth: int
) -> int:
    """Somebody who is there at that time and cares for the topic."""
    # The founders arrive before nine on the first day and their channels are born after that hour.
    since = DAY if birth < DAY else birth // DAY * DAY
    able = (
        (population.arrival < since) & (population.departure > birth // DAY * DAY + DAY) & ~population.is_bot
    )
    weight = able * (0.02 + (population.interests @ topics).astype(np.float64) ** 2)
    cumulative = np.cumsum(weight)
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
