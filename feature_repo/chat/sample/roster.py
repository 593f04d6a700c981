"""Who may speak where on one day, and how likely each is to."""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.sample.draws import draw_within
from feature_repo.chat.sample.rhythm import DAY
from feature_repo.chat.sample.world import World

_FRESH: Final = 2.0
_FRESH_DAYS: Final = 5.0


class Roster:
    """The stays that hold for a whole day, in order of user and channel, with their weights.

    Attributes:
        user: Index of the member, int32 ``[stays]``.
        channel: Index of the channel, int32 ``[stays]``.
    """

    user: NDArray[np.int32]
    channel: NDArray[np.int32]

    def __init__(
        self,
        user: NDArray[np.int32],
        channel: NDArray[np.int32],
        posting: NDArray[np.float64],
        noticing: NDArray[np.float64],
    ) -> None:
        """Index the stays, which are in order of user and channel.

        Args:
            user: Index of the member.
            channel: Index of the channel.
            posting: Weight of the channel among those of its member.
            noticing: Weight of the member among those of its channel.
        """
        self.user, self.channel = user, channel
        self._key = user.astype(np.int64) << 32 | channel
        self._posting = np.cumsum(posting)
        self._by_channel = np.argsort(channel, kind="stable")
        self._channel = channel[self._by_channel]
        self._noticing = np.cumsum(noticing[self._by_channel])

    @classmethod
    def of(cls, world: World, day: int) -> Self:
        """The roster of one day of a world, of people who are there and channels that are open."""
        people, channels = world.setting.population, world.setting.channels
        stays = world.memberships
        here = stays.holding(day) & people.present(day)[stays.user] & channels.open(day)[stays.channel]
        held = stays.take(here)
        held = held.take(np.lexsort((held.channel, held.user)))
        fresh = 1 + _FRESH * np.exp(-(day * DAY - held.joined) / (_FRESH_DAYS * DAY))
        posting = held.affinity * fresh * channels.vitality(day)[held.channel]
        noticing = held.affinity * np.sqrt(people.activity[held.user]) * ~people.is_bot[held.user]
        return cls(held.user, held.channel, posting, noticing)

    def contains(self, users: NDArray[np.integer], channels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether each user is in the channel beside it."""
        if len(self._key) == 0:
            return np.zeros(users.shape, np.bool_)
        key = users.astype(np.int64) << 32 | channels
        at = np.minimum(np.searchsorted(self._key, key), len(self._key) - 1)
        return np.asarray(self._key[at] == key)

    def in_some_channel(self, users: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether each user is in any channel at all."""
        return np.isin(users, self.user)

    def draw_channels(self, rng: np.random.Generator, users: NDArray[np.integer]) -> NDArray[np.int64]:
        """One of the channels of each user, who has one; int64, the shape of ``users``."""
        first, last = np.searchsorted(self.user, users), np.searchsorted(self.user, users, side="right")
        return self.channel[draw_within(rng, self._posting, first, last)].astype(np.int64)

    def draw_members(
        self, rng: np.random.Generator, channels: NDArray[np.integer], count: int
    ) -> NDArray[np.int64]:
        """``count`` draws of a member of each channel, which has one; int64 ``[len(channels), count]``."""
        first = np.searchsorted(self._channel, channels)
        last = np.searchsorted(self._channel, channels, side="right")
        shape = (len(channels), count)
        row = draw_within(
            rng, self._noticing, np.broadcast_to(first[:, None], shape), np.broadcast_to(last[:, None], shape)
        )
        return self.user[self._by_channel[row]].astype(np.int64)
