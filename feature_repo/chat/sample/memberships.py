"""Who is in which channel, from when to when: stays, and how a user stands to a channel at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.sample.rhythm import DAY

NOBODY: Final = -1
OUTSIDE: Final = 0
MEMBER: Final = 1
LEFT: Final = 2
"""How a user stands to a channel: was never in it, is in it, was in it once."""


@dataclass(frozen=True)
class Memberships:
    """Stays of a user in a channel, in order of joining; arrays of shape ``[memberships]``.

    Args:
        user: Index of the user, int32.
        channel: Index of the channel, int32.
        joined: Instant of joining.
        left: Instant of leaving, or NEVER.
        inviter: Index of who added the user, or NOBODY; int32.
        affinity: How much the user cares for the channel: it drives posting, and its lack drives leaving.
    """

    user: NDArray[np.int32]
    channel: NDArray[np.int32]
    joined: NDArray[np.int64]
    left: NDArray[np.int64]
    inviter: NDArray[np.int32]
    affinity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Self:
        """Some of them, by index, mask or slice."""
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: "Sequence[Memberships]") -> Self:
        """All of them, in order of joining."""
        joined = np.concatenate([p.joined for p in parts])
        order = np.argsort(joined, kind="stable")
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts])[order] for f in fields(cls)))

    def holding(self, day: int) -> NDArray[np.bool_]:
        """Which hold for the whole of a day: joined before it, and not left in it."""
        return (self.joined < day * DAY) & (self.left >= (day + 1) * DAY)

    def standing(self, users: int, public: int, instant: int) -> NDArray[np.int8]:
        """OUTSIDE, MEMBER or LEFT just before an instant, for each public channel; int8 ``[users, public]``."""
        standing = np.full((users, public), OUTSIDE, np.int8)
        before = (self.joined < instant) & (self.channel < public)
        gone = before & (self.left < instant)
        here = before & ~gone
        # In this order: who left and came back is a member.
        standing[self.user[gone], self.channel[gone]] = LEFT
        standing[self.user[here], self.channel[here]] = MEMBER
        return standing
