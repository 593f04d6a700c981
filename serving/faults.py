"""What is broken behind the service at this moment: one log line when it breaks, one when it works again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from feature_repo.clock import now
from feature_repo.errors import RecommendError

logger = logging.getLogger("bentoml.recommend")


@dataclass(frozen=True)
class Part:
    """How one part is.

    Args:
        name: Which.
        since: Since when, in UTC.
        defect: Why it fails, in one line; None while it works.
    """

    name: str
    since: datetime
    defect: str | None


class Faults:
    """Parts that are down, so that a thousand failing requests do not write a thousand lines. For any threads."""

    def __init__(self) -> None:
        """All is well."""
        self._parts: dict[str, Part] = {}

    @contextmanager
    def watch(self, part: str) -> Iterator[None]:
        """Report an error of the block instead of raising it: for a part that the answer can do without."""
        try:
            yield
        except Exception as error:
            self.report(part, error)
        else:
            self.working(part)

    def report(self, part: str, error: Exception) -> None:
        """Say that ``part`` fails, unless that is known."""
        reason = (
            str(error) if isinstance(error, RecommendError) else f"{type(error).__name__}: {error}"
        ).splitlines()[0]
        known = self._parts.get(part)
        if known is None or known.defect is None:
            self._parts[part] = Part(part, now(), reason)
        elif known.defect != reason:
            self._parts[part] = Part(part, known.since, reason)
        else:
            return
        logger.error("%s failed: %s", part, reason)

    def working(self, part: str) -> None:
        """Say that ``part`` works again, if it did not."""
        known = self._parts.get(part)
        if known is not None and known.defect is None:
            return
        self._parts[part] = Part(part, now(), None)
        if known is not None:
            logger.warning("%s works again", part)

    def parts(self) -> list[Part]:
        """Every part that was reported on, by name."""
        return sorted(self._parts.copy().values(), key=lambda part: part.name)
