"""Direct and group messages: who starts one with whom, and what goes to and fro."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.events import DM, GROUP_DM
from feature_repo.chat.sample.contacts import ContactMemory
from feature_repo.chat.sample.draws import first_valid
from feature_repo.chat.sample.rhythm import DAY, SECOND, times_of_day, volume
from feature_repo.chat.sample.world import Setting

_SESSION_RATE: Final = 0.14
_NEW_GROUP: Final = 0.015
_IN_GROUP: Final = 0.12
_GROUP_SIZE: Final = 6
_MORE_MESSAGES: Final = 0.28
_GAP_SECONDS: Final = 90.0


@dataclass
class Directory:
    """The conversations that exist, by who is in them. It grows.

    Args:
        next_channel: Index of the next channel to be opened.
        pairs: Channel of two people, lower index first.
        groups: Members of a group message, by channel.
        latest_group: The last group that each user was put in, by user.
    """

    next_channel: int
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)
    groups: dict[int, list[int]] = field(default_factory=dict)
    latest_group: dict[int, int] = field(default_factory=dict)

    def open_pair(self, one: int, other: int) -> tuple[int, bool]:
        """The channel of two people, and whether it is new."""
        key = (min(one, other), max(one, other))
        known = self.pairs.setdefault(key, self.next_channel)
        is_new = known == self.next_channel
        self.next_channel += is_new
        return known, is_new

    def open_group(self, members: list[int]) -> int:
        """A new group message of these people."""
        channel = self.next_channel
        self.next_channel += 1
        self.groups[channel] = members
        self.latest_group.update(dict.fromkeys(members, channel))
        return channel


@dataclass(frozen=True)
class Opened:
    """A conversation that begins: its channel, kind, members (its creator first), and instant."""

    channel: int
    kind: int
    members: list[int]
    instant: int


@dataclass(frozen=True)
class Talk:
    """The direct and group messages of a day, arrays of shape ``[messages]``.

    Args:
        user: Author.
        channel: The conversation.
        instant: When.
        partner: The other of two, -1 in a group.
        opened: The conversations that began on this day.
    """

    user: NDArray[np.int64]
    channel: NDArray[np.int64]
    instant: NDArray[np.int64]
    partner: NDArray[np.int64]
    opened: tuple[Opened, ...]


def converse(
    rng: np.random.Generator, setting: Setting, memory: ContactMemory, directory: Directory, day: int
) -> Talk:
    """What is said on a day between people who are there, by the memory that they have at its first instant."""
    people = setting.population
    present = people.present(day) & ~people.is_bot
    rate = _SESSION_RATE * people.activity**0.7 * volume(people.zone, setting.weekday(day)) * present
    starter = np.repeat(np.arange(len(people)), rng.poisson(rate))
    begun = day * DAY + times_of_day(rng, people.zone[starter], setting.weekday(day))
    order = np.argsort(begun, kind="stable")
    starter, begun = starter[order], begun[order]

    drawn = memory.draw(rng, starter, day * DAY, _GROUP_SIZE - 1)
    able = present[drawn] & (drawn != starter[:, None])
    channel, participants, opened = _choose(rng, directory, starter, begun, drawn, able)
    return _exchange(rng, present, channel, participants, begun, opened)


def _choose(
    rng: np.random.Generator,
    directory: Directory,
    starter: NDArray[np.int64],
    begun: NDArray[np.int64],
    drawn: NDArray[np.int64],
    able: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[Opened, ...]]:
    """The conversation of each session (-1: nobody to talk to) and its participants, the starter first."""
    channel = np.full(len(starter), -1, np.int64)
    participants = np.full((len(starter), _GROUP_SIZE), -1, np.int64)
    opened: list[Opened] = []
    partner = first_valid(drawn, able)
    chance = rng.random(len(starter))
    wanted = rng.integers(3, _GROUP_SIZE + 1, len(starter))
    # Sessions are few and each may open what the next one uses.
    for row, (user, instant) in enumerate(zip(starter.tolist(), begun.tolist(), strict=True)):
        others = list(dict.fromkeys(drawn[row, able[row]].tolist()))[: wanted[row] - 1]
        if chance[row] < _NEW_GROUP and len(others) >= 2:
            members = [user, *others]
            place = directory.open_group(members)
            opened.append(Opened(place, GROUP_DM, members, instant))
        elif chance[row] < _NEW_GROUP + _IN_GROUP and user in directory.latest_group:
            place = directory.latest_group[user]
            members = [user, *(m for m in directory.groups[place] if m != user)]
        elif partner[row] >= 0:
            members = [user, int(partner[row])]
            place, is_new = directory.open_pair(*members)
            if is_new:
                opened.append(Opened(place, DM, members, instant))
        else:
            continue
        channel[row] = place
        participants[row, : len(members)] = members
    return channel, participants, tuple(opened)


def _exchange(
    rng: np.random.Generator,
    present: NDArray[np.bool_],
    channel: NDArray[np.int64],
    participants: NDArray[np.int64],
    begun: NDArray[np.int64],
    opened: tuple[Opened, ...],
) -> Talk:
    """The messages of each session: the starter's first, then anybody's who is there, a minute or two apart."""
    length = rng.geometric(_MORE_MESSAGES, len(channel)) * (channel >= 0)
    session = np.repeat(np.arange(len(channel)), length)
    first = np.cumsum(length) - length
    is_first = np.arange(len(session)) == first[session]
    gap = np.where(is_first, 1.0, np.ceil(rng.exponential(_GAP_SECONDS, len(session)))).astype(np.int64)
    elapsed = np.cumsum(gap)
    elapsed -= elapsed[first[session]] - 1
    instant = begun[session] + elapsed * SECOND

    size = (participants >= 0).sum(axis=1)
    speaker = participants[session, (rng.random(len(session)) * size[session]).astype(np.int64)]
    starter = participants[session, 0]
    user = np.where(is_first | ~present[speaker], starter, speaker)
    of_two = size[session] == 2
    partner = np.where(of_two, participants[session, :2].sum(axis=1) - user, -1)

    # What would run past midnight is left unsaid: a day's events lie within it.
    kept = instant < (begun[session] // DAY + 1) * DAY
    return Talk(user[kept], channel[session][kept], instant[kept], partner[kept], opened)
