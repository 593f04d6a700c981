"""Instants. Every job takes an *as-of* instant, so that history replays as an ordinary run."""

import os
import time
from datetime import UTC, date, datetime, timedelta

from feature_repo.errors import RecommendError

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No event is older: an earlier time stamp is a defect of the export."""

LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Nothing is asked as of a later instant, so that a window after any instant is a date as well."""


_STARTED = time.monotonic()


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def default_as_of() -> datetime:
    """As of when a job runs, or a request is answered, that names no instant: `now`, or on history a clock that
    stood at ``RECOMMEND_AS_OF`` when this process started.

    Raises:
        RecommendError: the variable holds no instant.
    """
    chosen = os.environ.get("RECOMMEND_AS_OF")
    if not chosen:
        return now()
    return parse_instant(chosen) + timedelta(seconds=time.monotonic() - _STARTED)


def parse_instant(text: str) -> datetime:
    """Read ``2025-08-01`` or ``2025-08-01T12:00:00[+02:00]``; without an offset it is UTC.

    Raises:
        RecommendError: the text is neither, or the instant is later than `LATEST`.
    """
    try:
        instant = _in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise RecommendError(
            f"{text!r} is not an instant: write 2025-08-01 or 2025-08-01T12:00:00 (UTC unless an offset is given)"
        ) from None
    if instant > LATEST:
        raise RecommendError(f"{text!r} is later than the year {LATEST.year - 1}: choose an earlier instant")
    return instant


def _in_utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def midnight(day: date) -> datetime:
    """The instant at which ``day`` begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def days_between(first: date, last: date) -> list[date]:
    """Every day from ``first`` to ``last``, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
