"""Until when an answer is due, and which of two that work on it may give it."""

import threading
import time
from dataclasses import dataclass
from typing import Self

_RESERVE = 0.040
"""Seconds that are kept for an answer from memory, and for its way out."""


@dataclass(frozen=True)
class Deadline:
    """An instant of the clock that never goes back.

    Args:
        at: By ``time.monotonic``, in seconds.
    """

    at: float

    @classmethod
    def within(cls, seconds: float, since: float | None = None) -> Self:
        """So many seconds from now, or from an earlier instant by ``time.monotonic``."""
        return cls((time.monotonic() if since is None else since) + seconds)

    @property
    def remaining(self) -> float:
        """Seconds; less than 0 where it has passed."""
        return self.at - time.monotonic()

    @property
    def patience(self) -> float:
        """Seconds after which whoever waits for a better answer must give the one from memory; from 0 up."""
        remaining = self.remaining
        return max(remaining / 2, remaining - _RESERVE, 0.0)


NEVER = Deadline(float("inf"))


class Claim:
    """Only one answer to a request is logged and given: that of whoever takes the claim first. For any threads."""

    def __init__(self) -> None:
        self._taken = threading.Lock()

    def take(self) -> bool:
        """Whether the caller is the first."""
        return self._taken.acquire(blocking=False)
