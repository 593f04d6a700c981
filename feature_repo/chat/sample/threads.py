"""Which channel messages open a thread, and which reply to one."""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.sample.draws import draw_columns
from feature_repo.chat.sample.population import Population
from feature_repo.chat.sample.rhythm import DAY

_REPLY: Final = 0.55
_OPEN_DAYS: Final = 3
_LOOK_BACK: Final = 5
_FADE: Final = 0.6


@dataclass(frozen=True)
class Threads:
    """Threads that can still be replied to; arrays of shape ``[threads]``.

    Args:
        number: The number of the message that opened it.
        user: Who wrote that.
        channel: Where.
        instant: When.
    """

    number: NDArray[np.int64]
    user: NDArray[np.int64]
    channel: NDArray[np.int64]
    instant: NDArray[np.int64]

    @classmethod
    def none(cls) -> Self:
        """Not one."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty, empty)

    def take(self, rows: NDArray[np.bool_]) -> Self:
        """Some of them, by mask."""
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))


def weave(
    rng: np.random.Generator,
    population: Population,
    threads: Threads,
    messages: Threads,
    day: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], Threads]:
    """Decide for a day's channel messages, each given as the thread that it would open, which thread it is in.

    People reply to recent threads of the channel, the sooner the closer they are to who opened them.

    Returns:
        The thread's number and who opened it (-1 for the message that did), both int64 ``[messages]``; and the
        threads that are open on the next day.
    """
    replies = (rng.random(len(messages.number)) < _REPLY) & ~population.is_bot[messages.user]
    known = _concatenate(_NOWHERE, threads, messages.take(~replies))
    span = (_OPEN_DAYS + 2) * DAY
    horizon = (day - _OPEN_DAYS) * DAY
    key = known.channel * span + (known.instant - horizon)
    order = np.argsort(key, kind="stable")
    earlier = np.searchsorted(key[order], messages.channel * span + (messages.instant - horizon))

    # The thread nowhere sorts first: whoever looks back too far meets it, and it is in no channel of theirs.
    row = order[np.maximum(earlier[:, None] - 1 - np.arange(_LOOK_BACK), 0)]
    opener = known.user[row]
    weight = _FADE ** np.arange(_LOOK_BACK) * (
        0.2 + 2 * population.tie_strength(messages.user[:, None], opener)
    )
    weight *= known.channel[row] == messages.channel[:, None]
    weight *= np.where(opener == messages.user[:, None], 0.15, 1.0)
    pick = draw_columns(rng, weight)[:, 0]
    found = replies & (pick >= 0)
    chosen = row[np.arange(len(row)), pick]
    still_open = _concatenate(threads, messages.take(~found))
    return (
        np.where(found, known.number[chosen], messages.number),
        np.where(found, known.user[chosen], -1),
        still_open.take(still_open.instant >= (day + 1 - _OPEN_DAYS) * DAY),
    )


def _concatenate(*parts: Threads) -> Threads:
    return Threads(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Threads)))


_NOWHERE: Final = Threads(np.array([-1]), np.array([0]), np.array([-1]), np.array([0]))
