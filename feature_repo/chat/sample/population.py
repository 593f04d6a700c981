"""Who works there: teams, roles, interests, habits, and the people each of them is close to."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.sample.preferences import tie_strength
from feature_repo.chat.sample.rhythm import ALWAYS, DAY, HOUR, NEVER, OFFSET_SHARES, OFFSETS, SECOND

TOPICS: Final = 16
ROLES: Final = 6
CIRCLE: Final = 24
"""How many people a person may be close to."""

_TEAM_SIZE: Final = 14
_FOUNDERS: Final = 0.6
_BOT_SHARE: Final = 0.008
_BLOCK: Final = 4096


@dataclass(frozen=True)
class Population:
    """Every user of the workspace, in order of arrival; arrays of shape ``[users]`` unless said otherwise.

    Args:
        team: Index of the team, int32.
        role: Occupation, 1 to ``ROLES``, int16.
        is_bot: Whether it is a program.
        zone: Index into the rhythm's time zones, int8.
        utc_offset_minutes: Minutes east of UTC, int16.
        activity: Expected channel messages on a working day, heavy-tailed (log-normal).
        curiosity: Expected looks into the channel browser on a working day; zero for a bot.
        interests: Weight of each topic, rows of unit length, float32 ``[users, TOPICS]``.
        arrival: Instant of the account's creation.
        departure: Instant of its deactivation, or NEVER.
        circle: The people one is close to, int32 ``[users, CIRCLE]``.
        closeness: How close: each row sums to 1, or to 0 for somebody alone; float32 ``[users, CIRCLE]``.
    """

    team: NDArray[np.int32]
    role: NDArray[np.int16]
    is_bot: NDArray[np.bool_]
    zone: NDArray[np.int8]
    utc_offset_minutes: NDArray[np.int16]
    activity: NDArray[np.float64]
    curiosity: NDArray[np.float64]
    interests: NDArray[np.float32]
    arrival: NDArray[np.int64]
    departure: NDArray[np.int64]
    circle: NDArray[np.int32]
    closeness: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.team)

    def present(self, day: int) -> NDArray[np.bool_]:
        """Who is there for the whole of a day: arrived before it, and not leaving in it."""
        return (self.arrival < day * DAY) & (self.departure >= (day + 1) * DAY)

    def tie_strength(self, users: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float32]:
        """How much each of ``users`` has to do with the one beside it in ``others`` (they broadcast)."""
        return tie_strength(
            self.team[users] == self.team[others],
            self.role[users] == self.role[others],
            np.einsum("...t,...t->...", self.interests[users], self.interests[others]),
        )


def populate(rng: np.random.Generator, users: int, days: int) -> Population:
    """Draw a population: 60 % are there from the first day, the rest arrive all along."""
    founders = int(np.ceil(_FOUNDERS * users))
    arrival = _arrivals(rng, users, founders, days)
    is_bot = np.zeros(users, np.bool_)
    if users >= 10:
        is_bot[rng.choice(np.arange(1, founders), max(1, round(_BOT_SHARE * users)), replace=False)] = True

    teams = max(1, round(users / _TEAM_SIZE))
    team = rng.choice(teams, users, p=rng.dirichlet(np.full(teams, 4.0))).astype(np.int32)
    main_role = rng.integers(1, ROLES + 1, teams)
    role = np.where(rng.random(users) < 0.7, main_role[team], rng.integers(1, ROLES + 1, users)).astype(
        np.int16
    )
    home_zone = rng.choice(len(OFFSETS), teams, p=OFFSET_SHARES)
    own_zone = rng.choice(len(OFFSETS), users, p=OFFSET_SHARES)
    located = np.where(rng.random(users) < 0.75, home_zone[team], own_zone)
    interests = _interests(rng, team, role)

    energy = rng.standard_normal(users)
    sigma = 1.35
    activity = np.minimum(0.85 * np.exp(sigma * energy - sigma**2 / 2), 50.0)
    curiosity = 0.06 * np.exp(0.5 * energy + 0.5 * rng.standard_normal(users))
    circle, closeness = _circles(rng, team, role, interests, is_bot)
    return Population(
        team=team,
        role=role,
        is_bot=is_bot,
        zone=np.where(is_bot, ALWAYS, located).astype(np.int8),
        utc_offset_minutes=np.where(is_bot, 0, OFFSETS[located]).astype(np.int16),
        activity=np.where(is_bot, 6.0, activity),
        curiosity=np.where(is_bot, 0.0, curiosity),
        interests=interests,
        arrival=arrival,
        departure=_departures(rng, arrival, is_bot, days),
        circle=circle,
        closeness=closeness,
    )


def _arrivals(rng: np.random.Generator, users: int, founders: int, days: int) -> NDArray[np.int64]:
    newcomers = users - founders
    first = np.sort(rng.integers(0, 8 * 3600, founders))
    day = np.sort(rng.integers(1, days, newcomers))
    later = day * 86_400 + rng.integers(6 * 3600, 20 * 3600, newcomers)
    return np.sort(np.concatenate([first, later])).astype(np.int64) * SECOND


def _departures(
    rng: np.random.Generator, arrival: NDArray[np.int64], is_bot: NDArray[np.bool_], days: int
) -> NDArray[np.int64]:
    """About one in six leaves within a year; the first founder stays, so that somebody always can act."""
    day = arrival // DAY + 2 + rng.exponential(2000.0, len(arrival)).astype(np.int64)
    instant = day * DAY + 15 * HOUR + rng.integers(0, 4 * 3600, len(arrival)) * SECOND
    stays = is_bot | (day >= days)
    stays[0] = True
    return np.where(stays, NEVER, instant)


def _interests(
    rng: np.random.Generator, team: NDArray[np.int32], role: NDArray[np.int16]
) -> NDArray[np.float32]:
    by_team = rng.dirichlet(np.full(TOPICS, 0.12), int(team.max()) + 1)[team]
    by_role = rng.dirichlet(np.full(TOPICS, 0.12), ROLES + 1)[role]
    personal = rng.dirichlet(np.full(TOPICS, 0.1), len(team))
    return unit_rows(0.4 * by_team + 0.2 * by_role + 0.4 * personal)


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """The rows scaled to length 1, float32, so that their dot product is a cosine."""
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _circles(
    rng: np.random.Generator,
    team: NDArray[np.int32],
    role: NDArray[np.int16],
    interests: NDArray[np.float32],
    is_bot: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Of people met in the team, the occupation and by chance, the strongest ties stay: the circle."""
    users = len(team)
    met = np.concatenate(
        [_of_same_group(rng, team, 40), _of_same_group(rng, role, 40), rng.integers(0, users, (users, 40))],
        axis=1,
    )
    met.sort(axis=1)
    void = (met == np.arange(users)[:, None]) | is_bot[met]
    void[:, 1:] |= met[:, 1:] == met[:, :-1]
    # Blocks bound the memory: the gathered interests are [block, met, topics].
    strength = np.concatenate(
        [
            tie_strength(
                team[rows, None] == team[met[rows]],
                role[rows, None] == role[met[rows]],
                np.einsum("ut,umt->um", interests[rows], interests[met[rows]]),
            )
            for rows in np.array_split(np.arange(users), -(-users // _BLOCK))
        ]
    )
    # Chemistry: two colleagues alike on paper are not equally close.
    strength = np.where(void, 0.0, strength**2 * rng.lognormal(0.0, 0.8, met.shape))
    best = np.argsort(-strength, axis=1, kind="stable")[:, :CIRCLE]
    kept = np.take_along_axis(strength, best, axis=1)
    total = kept.sum(axis=1, keepdims=True)
    closeness = np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)
    return np.take_along_axis(met, best, axis=1).astype(np.int32), closeness.astype(np.float32)


def _of_same_group(rng: np.random.Generator, group: NDArray[np.integer], width: int) -> NDArray[np.int64]:
    """``width`` draws with replacement from everybody's own group; int64 ``[users, width]``."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    first = np.cumsum(sizes) - sizes
    draw = (rng.random((len(group), width)) * sizes[group][:, None]).astype(np.int64)
    return np.asarray(order[first[group][:, None] + draw], np.int64)
