"""The world behind a sample: its people, channels and stays, and the preferences that made them. Pure: no I/O."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.sample.channels import Channels
from feature_repo.chat.sample.memberships import LEFT, MEMBER, Memberships
from feature_repo.chat.sample.population import Population
from feature_repo.chat.sample.preferences import JoinPreference
from feature_repo.chat.sample.rhythm import DAY, volume
from feature_repo.clock import midnight


@dataclass(frozen=True)
class Setting:
    """What does not depend on anybody's choice.

    Args:
        start: First day of the sample; every instant counts from its midnight (UTC).
        days: How many days it lasts.
        population: The people and programs.
        channels: The channels that are founded, all along.
        preference: What makes a user join a channel.
    """

    start: date
    days: int
    population: Population
    channels: Channels
    preference: JoinPreference

    def weekday(self, day: int) -> int:
        """Weekday of a day of the sample; 0 is Monday."""
        return (self.start + timedelta(days=day)).weekday()

    def browses(self, day: int) -> NDArray[np.float64]:
        """Probability that each user looks into the channel browser on a day; ``[users]``."""
        people = self.population
        age_days = (day * DAY - people.arrival) / DAY
        weekday_volume = volume(people.zone, self.weekday(day))
        return self.preference.browses(people.curiosity, age_days, weekday_volume) * people.present(day)

    def colleagues_share(
        self, users: NDArray[np.integer], candidates: NDArray[np.integer], standing: NDArray[np.int8]
    ) -> NDArray[np.float32]:
        """Closeness of each user's circle that is in each channel, 0 to 1; float32 ``[users, candidates]``."""
        share = np.zeros((len(users), len(candidates)), np.float32)
        people = self.population
        for friend, closeness in zip(people.circle[users].T, people.closeness[users].T, strict=True):
            share += closeness[:, None] * (standing[friend[:, None], candidates] == MEMBER)
        return share

    def acceptance(
        self,
        users: NDArray[np.integer],
        candidates: NDArray[np.integer],
        standing: NDArray[np.int8],
        day: int,
    ) -> NDArray[np.float32]:
        """Probability that each user, shown each candidate on a day, joins it; 0 for a member.

        ``standing`` is that of the day's first instant. Float32 ``[users, candidates]``.
        """
        stands = standing[users[:, None], candidates]
        accepted = self.preference.acceptance(
            cosine=self.population.interests[users] @ self.channels.topics[candidates].T,
            share=self.colleagues_share(users, candidates, standing),
            members=(standing[:, candidates] == MEMBER).sum(axis=0).astype(np.float32),
            age_days=((day * DAY - self.channels.birth[candidates]) / DAY).astype(np.float32),
            left=stands == LEFT,
        )
        return np.where(stands == MEMBER, np.float32(0), accepted)


@dataclass(frozen=True)
class World:
    """The known truth of a sample. User ``i`` is ``U<i+1>`` in its files, channel ``c`` is ``C<c+1>``.

    Args:
        setting: People, channels and preferences.
        memberships: Every stay in a public or private channel.
    """

    setting: Setting
    memberships: Memberships

    def day_of(self, at: datetime) -> int:
        """The day of the sample that an instant lies in."""
        return (at - midnight(self.setting.start)) // timedelta(days=1)

    def standing(self, at: datetime) -> NDArray[np.int8]:
        """OUTSIDE, MEMBER or LEFT at the beginning of the day of ``at``; int8 ``[users, public channels]``."""
        setting = self.setting
        return self.memberships.standing(
            len(setting.population), setting.channels.public, self.day_of(at) * DAY
        )

    def join_probability(self, users: NDArray[np.integer], at: datetime) -> NDArray[np.float32]:
        """Probability that each user joins each public channel on the day of ``at``.

        It is 0 for a channel that the user is in, or that is not open on that day. Channels sorted by it are the
        best ranking that anybody could give on that day. Float32 ``[len(users), public channels]``.
        """
        day, public = self.day_of(at), self.setting.channels.public
        open_now = np.flatnonzero(self.setting.channels.open(day)[:public])
        probability = np.zeros((len(users), public), np.float32)
        accepted = self.setting.acceptance(users, open_now, self.standing(at), day)
        seen = self.setting.browses(day)[users] * self.setting.preference.exposure(len(open_now))
        probability[:, open_now] = seen[:, None] * accepted
        return probability
