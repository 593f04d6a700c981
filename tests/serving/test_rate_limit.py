"""The rate limit is exactly a token bucket: against a bucket that counts fractions of tokens."""

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from serving.rate_limit import NANOSECONDS, RateLimiter

RATES = st.integers(1, 1000) | st.integers(1, 1_000_000)


@dataclass
class Bucket:
    """The definition: fills with ``rate`` tokens a second up to ``rate``, and a batch takes as many as it has requests."""

    rate: int
    tokens: Fraction
    seen: int

    def take(self, now: int, wanted: int = 1) -> int:
        filled = self.tokens + Fraction((now - self.seen) * self.rate, NANOSECONDS)
        self.tokens, self.seen = min(filled, Fraction(self.rate)), now
        if self.tokens >= wanted:
            self.tokens -= wanted
            return 0
        missing = (wanted - self.tokens) * NANOSECONDS / self.rate
        return -(-missing.numerator // missing.denominator)


@given(
    rate=RATES,
    start=st.integers(0, 10**18),
    steps=st.lists(st.integers(0, 3) | st.integers(0, 3 * NANOSECONDS), max_size=200),
    bursts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_it_grants_what_the_bucket_grants_and_says_the_same_wait(
    rate: int, start: int, steps: list[int], bursts: list[int]
) -> None:
    limiter, bucket, at = RateLimiter(), Bucket(rate, Fraction(rate), start), start
    for step in steps:
        at += step
        for tokens in bursts:
            wanted = min(tokens, rate)
            assert limiter.take("k", rate, at, wanted) == bucket.take(at, wanted)


@given(rate=st.integers(1, 300), start=st.integers(0, 10**18))
def test_a_burst_is_one_seconds_and_no_more(rate: int, start: int) -> None:
    limiter = RateLimiter()
    assert [limiter.take("k", rate, start) for _ in range(rate)] == [0] * rate
    assert limiter.take("k", rate, start) > 0


@given(rate=st.integers(1, 300), start=st.integers(0, 10**18))
def test_after_the_wait_there_is_a_token_and_just_before_there_is_none(rate: int, start: int) -> None:
    limiter = RateLimiter()
    while not (wait := limiter.take("k", rate, start)):
        pass
    assert limiter.take("k", rate, start + wait - 1) == 1
    assert limiter.take("k", rate, start + wait) == 0


def test_each_key_has_a_bucket_of_its_own_and_a_new_rate_a_new_one() -> None:
    limiter = RateLimiter()
    assert limiter.take("a", 1, 5) == 0
    assert limiter.take("a", 1, 5) == NANOSECONDS
    assert limiter.take("b", 1, 5) == 0
    assert limiter.take("a", 2, 5) == 0
