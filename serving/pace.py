"""How long something took lately: whether there is time for it once more."""

import time

HALF_LIFE = 10.0
_RECENT = 0.2


class Pace:
    """An exponentially weighted mean of durations. Where it is passed over, what is known of it fades with time, not
    with the number of requests, so that it is tried again, and seldom: what is slow holds up those behind it each time.
    Written by one thread."""

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        """``half_life`` of what is known, in seconds."""
        self.expected = 0.0
        """Seconds; 0 before it was ever measured."""
        self._half_life, self._looked = half_life, time.monotonic()

    def took(self, seconds: float) -> None:
        """It was done."""
        self.expected += (seconds - self.expected) * (_RECENT if self.expected else 1.0)
        self._looked = time.monotonic()

    def passed_over(self) -> None:
        """There was no time for it."""
        now = time.monotonic()
        self.expected *= 0.5 ** ((now - self._looked) / self._half_life)
        self._looked = now
