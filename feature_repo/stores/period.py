"""A stretch of time in whole microseconds since 1970, UTC: what both as-of joins count in."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """Since 1970; without a time zone it is UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


@dataclass(frozen=True)
class Period:
    """From ``start`` to ``end``, both included, in microseconds since 1970; ``None`` is unbounded."""

    start: int | None = None
    end: int | None = None

    def reaching_back(self, ttl: timedelta | None) -> "Period":
        """The period in which a row must lie to be within its TTL somewhere in this one."""
        if ttl is None or self.start is None:
            return Period(None, self.end)
        return Period(self.start - ttl // MICROSECOND, self.end)
