"""How stays come about: where people are put, what they join by preference, and when they leave."""

from collections import defaultdict
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_repo.chat.sample.channels import GENERAL
from feature_repo.chat.sample.draws import draw_columns
from feature_repo.chat.sample.memberships import LEFT, MEMBER, NOBODY, Memberships
from feature_repo.chat.sample.rhythm import DAY, NEVER, SECOND, times_of_day
from feature_repo.chat.sample.world import Setting

_INVITED: Final = 0.35
_LEAVE_RATE: Final = 0.006
_LEAVE_FADE: Final = 3.0
_BOT_CHANNELS: Final = 4
_BLOCK_CELLS: Final = 4_000_000


def live(rng: np.random.Generator, setting: Setting) -> Memberships:
    """Everybody's stays, as the days go by: each day's joins by the state at its first instant."""
    public = setting.channels.public
    standing = np.zeros((len(setting.population), public), np.int8)
    assigned = _assigned(rng, setting)
    joined_on = np.searchsorted(assigned.joined, np.arange(setting.days + 1) * DAY)
    stays = [assigned]
    leaving: defaultdict[int, list[Memberships]] = defaultdict(list)
    for day in range(setting.days):
        chosen = _joins(rng, setting, standing, day)
        stays.append(chosen)
        for batch in (assigned.take(slice(joined_on[day], joined_on[day + 1])), chosen):
            seen = batch.take(batch.channel < public)
            standing[seen.user, seen.channel] = MEMBER
            last_day = seen.left // DAY
            for end in np.unique(last_day[last_day < setting.days]):
                leaving[int(end)].append(seen.take(last_day == end))
        for batch in leaving.pop(day, []):
            standing[batch.user, batch.channel] = LEFT
    return _invited_by_members(Memberships.concatenate(stays), len(setting.channels))


def _invited_by_members(stays: Memberships, channels: int) -> Memberships:
    """The same stays, in order of joining, without the inviters who had left, perhaps earlier that very day."""
    asked = pd.DataFrame(
        {"at": stays.joined, "pair": stays.inviter.astype(np.int64) * channels + stays.channel}
    )
    inside = pd.DataFrame(
        {
            "at": stays.joined,
            "pair": stays.user.astype(np.int64) * channels + stays.channel,
            "left": stays.left,
        }
    )
    latest = pd.merge_asof(asked, inside, on="at", by="pair")["left"].to_numpy(np.float64, na_value=-np.inf)
    return replace(stays, inviter=np.where(latest >= stays.joined, stays.inviter, np.int32(NOBODY)))


def _assigned(rng: np.random.Generator, setting: Setting) -> Memberships:
    """The stays that are nobody's choice: creators, #general, one's own team, and where a bot is put."""
    people, channels = setting.population, setting.channels
    founded = np.arange(len(channels))
    creators = _stay(rng, setting, channels.creator, founded, channels.birth, NOBODY, lasting=True)

    placed = []
    team_channel = np.full(int(people.team.max()) + 1, -1)
    team_channel[channels.team[channels.public :]] = founded[channels.public :]
    humans = np.flatnonzero(~people.is_bot)
    for channel in (np.full(len(people), GENERAL)[humans], team_channel[people.team[humans]]):
        others = humans != channels.creator[channel]
        placed.append((humans[others], channel[others]))
    early = founded[: channels.public][channels.birth[: channels.public] < DAY]
    bots = np.repeat(np.flatnonzero(people.is_bot), min(_BOT_CHANNELS, len(early)))
    if len(bots):
        rows = [rng.choice(early, min(_BOT_CHANNELS, len(early)), replace=False) for _ in np.unique(bots)]
        placed.append((bots, np.concatenate(rows)))

    user, channel = (np.concatenate(column) for column in zip(*placed, strict=True))
    settled = np.maximum(people.arrival[user], channels.birth[channel])
    joined = settled + rng.integers(1, 1800, len(user)) * SECOND
    inviter = np.where(channel == GENERAL, NOBODY, channels.creator[channel])
    others = _stay(rng, setting, user, channel, joined, inviter, lasting=True)
    return Memberships.concatenate([creators, others])


def _joins(rng: np.random.Generator, setting: Setting, standing: NDArray[np.int8], day: int) -> Memberships:
    """Who joins what on a day, of their own choice or because a colleague asked them."""
    public = setting.channels.public
    candidates = np.flatnonzero(setting.channels.open(day)[:public])
    browsing = np.flatnonzero(rng.random(len(setting.population)) < setting.browses(day))
    exposure = setting.preference.exposure(len(candidates))
    pairs = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    # Blocks bound the memory: [browsing, candidates] is large in a large workspace.
    for users in np.array_split(browsing, 1 + len(browsing) * len(candidates) // _BLOCK_CELLS):
        accepted = setting.acceptance(users, candidates, standing, day) * exposure
        row, column = np.nonzero(rng.random(accepted.shape) < accepted)
        pairs.append((users[row], candidates[column]))
    user, channel = (np.concatenate(column) for column in zip(*pairs, strict=True))
    joined = day * DAY + times_of_day(rng, setting.population.zone[user], setting.weekday(day))
    return _stay(rng, setting, user, channel, joined, _inviters(rng, setting, standing, user, channel))


def _inviters(
    rng: np.random.Generator,
    setting: Setting,
    standing: NDArray[np.int8],
    user: NDArray[np.integer],
    channel: NDArray[np.integer],
) -> NDArray[np.int64]:
    """Somebody of the circle who is in the channel, for some of the joins where there is one; ``[joins]``."""
    circle = setting.population.circle[user]
    inside = setting.population.closeness[user] * (standing[circle, channel[:, None]] == MEMBER)
    pick = draw_columns(rng, inside)[:, 0]
    asked = (rng.random(len(user)) < _INVITED) & (pick >= 0)
    chosen = circle[np.arange(len(user)), pick]
    return np.where(asked, chosen, NOBODY).astype(np.int64)


def _stay(
    rng: np.random.Generator,
    setting: Setting,
    user: NDArray[np.integer],
    channel: NDArray[np.integer],
    joined: NDArray[np.int64],
    inviter: NDArray[np.integer] | int,
    *,
    lasting: bool = False,
) -> Memberships:
    """Stays that begin: how much the user will care, and, unless lasting, how long (geometric, by the day)."""
    people, channels = setting.population, setting.channels
    cosine = np.einsum("mt,mt->m", people.interests[user], channels.topics[channel]).astype(np.float64)
    affinity = (0.1 + cosine) ** 2 * rng.lognormal(0.0, 0.8, len(user))
    left = np.full(len(user), NEVER, np.int64)
    if not lasting:
        lasts = rng.geometric(_LEAVE_RATE * np.exp(-_LEAVE_FADE * affinity))
        lasts = np.minimum(lasts, setting.days)  # in µs, what outlasts the sample would overflow
        # The hours of a Wednesday: the last day may be any, and people leave when they are awake.
        left = (joined // DAY + lasts) * DAY + times_of_day(rng, people.zone[user], 2)
    left = np.minimum(left, people.departure[user])
    ends = (left < channels.death[channel]) & (left < setting.days * DAY)
    return Memberships(
        user=user.astype(np.int32),
        channel=channel.astype(np.int32),
        joined=joined,
        left=np.where(ends, left, NEVER),
        inviter=np.broadcast_to(np.asarray(inviter, np.int32), user.shape),
        affinity=affinity,
    )
