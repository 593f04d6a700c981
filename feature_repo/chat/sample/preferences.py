"""What people want: the known truth that a ranker can learn and a test can compare it with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class JoinPreference:
    """Coefficients of the daily probability that a user joins a public channel:

        P(join) = P(browses) · exposure · sigmoid(bias + interest·cosine + colleagues·share
                  + popularity·ln(1 + members) + recency·exp(-age / recency_days) + left_before)

    a logistic choice model (McFadden, 1974) with social influence. By the size of the terms over open channels,
    interest and colleagues decide, popularity and recency tip the scale: a ranking by popularity alone is wrong.

    Args:
        bias: Log-odds of a channel with nothing to say for it.
        interest: Per unit of the cosine between the user's interests and the channel's topics.
        colleagues: Per unit of closeness (0 to 1) to the people of one's circle who are members.
        popularity: Per unit of ln(1 + members).
        recency: For a channel born just now.
        recency_days: After how many days that has fallen to 1/e.
        left_before: Added when the user once left the channel.
        looks: About how many channels one browse shows; ``exposure`` is ``min(1, looks / open channels)``.
        newcomer: How many times as much as later somebody browses, on top, on the first day.
        newcomer_days: After how many days that has fallen to 1/e.
    """

    bias: float = -9.5
    interest: float = 6.5
    colleagues: float = 9.0
    popularity: float = 0.5
    recency: float = 0.8
    recency_days: float = 30.0
    left_before: float = -2.5
    looks: float = 60.0
    newcomer: float = 8.0
    newcomer_days: float = 10.0

    def acceptance(
        self,
        cosine: NDArray[np.float32],
        share: NDArray[np.float32],
        members: NDArray[np.float32],
        age_days: NDArray[np.float32],
        left: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Probability that a user who sees a channel joins it; float32 ``[users, channels]``.

        Args:
            cosine: Match of interests, ``[users, channels]``.
            share: Closeness of the circle's members, ``[users, channels]``.
            members: Members of each channel, ``[channels]``.
            age_days: Age of each channel in days, ``[channels]``.
            left: Whether the user once left the channel, ``[users, channels]``.
        """
        of_channel = self.popularity * np.log1p(members) + self.recency * np.exp(
            -age_days / self.recency_days
        )
        of_pair = self.interest * cosine + self.colleagues * share + self.left_before * left
        odds = np.exp(self.bias + of_channel + of_pair)
        return np.asarray(odds / (1 + odds), np.float32)

    def exposure(self, channels: int) -> float:
        """Probability that one browse shows a given channel, of so many that are open."""
        return min(1.0, self.looks / max(1, channels))

    def browses(
        self,
        curiosity: NDArray[np.float64],
        age_days: NDArray[np.float64],
        weekday_volume: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Probability that a user browses on a day; all of shape ``[users]``."""
        newness = 1 + self.newcomer * np.exp(-np.maximum(age_days, 0) / self.newcomer_days)
        return 1 - np.exp(-curiosity * newness * weekday_volume)


@dataclass(frozen=True)
class ContactPreference:
    """Whom a person turns to: exploration and preferential return (Song et al., Nature Physics 2010).

    The weight of a past contact is ``exp(-age / memory_days)``, times ``reciprocity`` where the other one began;
    somebody of the circle gets ``exploration · closeness`` beside it. Repeat contacts hence dominate, and fade.

    Args:
        memory_days: After how many days a contact's weight has fallen to 1/e.
        reciprocity: Weight of being turned to, against turning to somebody.
        exploration: Weight of the whole circle, against one contact of just now.
    """

    memory_days: float = 10.0
    reciprocity: float = 0.6
    exploration: float = 2.0


def tie_strength(
    same_team: NDArray[np.bool_], same_role: NDArray[np.bool_], cosine: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How much two people have to do with each other, 0 to 2: the team counts most, then shared interests."""
    return (same_team + np.float32(0.3) * same_role + np.float32(0.7) * cosine).astype(np.float32)
