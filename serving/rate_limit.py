"""How often a key may call: a token bucket of one second's tokens, in the form of the generic cell rate algorithm.

GCRA (ITU-T I.371; https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm) keeps one number a key: when the next
request would be due, were they evenly spaced. The library `limits` has windows only, read from the wall clock, which
may jump; `throttled-py` has GCRA on a clock of its own, in floating point. This one is exact, on the clock it is given.
"""

from typing import Final

NANOSECONDS: Final = 1_000_000_000


class RateLimiter:
    """The buckets of one worker process: of two workers each grants the whole rate. Not for use by two threads at a time.

    Times are kept in units of 1/rate ns, in which the interval between two requests is a whole number.
    """

    def __init__(self) -> None:
        """Every bucket is full."""
        self._due: dict[tuple[str, int], int] = {}

    def take(self, key_id: str, rate: int, now: int, tokens: int = 1) -> int:
        """Take tokens where there are as many.

        Args:
            key_id: Whose bucket. With another rate it is another bucket, and full.
            rate: Tokens a second; the bucket holds as many.
            now: ns of a clock that never goes back.
            tokens: How many, up to ``rate``.

        Returns:
            0 where they were taken, else after how many ns there will be enough.
        """
        instant = now * rate
        due = max(self._due.get((key_id, rate), instant), instant)
        early = due - instant - (rate - tokens) * NANOSECONDS
        if early > 0:
            return -(-early // rate)
        self._due[key_id, rate] = due + tokens * NANOSECONDS
        return 0
