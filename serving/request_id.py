"""Request ids: random int64, shown as 25 hexadecimal digits, that tell which recommender answered, and when.

The low ten bits are a hash of the recommender's name, so that an outcome finds its recommender without any
memory of the request: after a restart, and in another worker. The other 53 bits are random: ten million ids
collide somewhere with probability 0.6 % (birthday bound). The text has the second of the answer's instant
behind the number's 16 digits, so that an outcome that comes too late is known as such, likewise without memory.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from feature_repo.errors import RecommendError

PATTERN = "^[0-7][0-9a-f]{24}$"

_TAG_BITS = 10
_NUMBER_DIGITS = 16
_WELL_FORMED = re.compile(PATTERN.strip("^$"))


@dataclass(frozen=True)
class Issued:
    """What a request id says.

    Args:
        number: The id in the log, int64.
        at: The answer's instant, in UTC, whole seconds (rounded down).
    """

    number: int
    at: datetime


def new(recommender: str) -> int:
    """A fresh id, positive int64."""
    return secrets.randbits(63 - _TAG_BITS) << _TAG_BITS | _tag(recommender)


def text(request_id: int, at: datetime) -> str:
    """The id of an answer as of the instant ``at``, as it goes over HTTP."""
    return f"{request_id:016x}{int(at.timestamp()):09x}"


def parse(raw: str) -> Issued | None:
    """What is behind an id's text, None where that is not well-formed."""
    if not _WELL_FORMED.fullmatch(raw):
        return None
    number, seconds = int(raw[:_NUMBER_DIGITS], 16), int(raw[_NUMBER_DIGITS:], 16)
    return Issued(number, datetime.fromtimestamp(seconds, UTC))


class Issuers:
    """Which recommender an id was issued by."""

    def __init__(self, recommenders: Iterable[str]) -> None:
        """Learn the names.

        Raises:
            RecommendError: two names have the same tag.
        """
        self._names: dict[int, str] = {}
        for name in recommenders:
            other = self._names.setdefault(_tag(name), name)
            if other != name:
                raise RecommendError(
                    f"recommenders {other} and {name} share a request-id tag: rename one of them"
                )

    def of(self, request_id: int) -> str | None:
        """The recommender's name, None where no recommender here issued it."""
        return self._names.get(request_id & (1 << _TAG_BITS) - 1)


def _tag(recommender: str) -> int:
    digest = hashlib.blake2b(recommender.encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") >> (16 - _TAG_BITS)
