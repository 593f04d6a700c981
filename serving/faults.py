"""What is broken behind the service at this moment: one log line when it breaks, one when it works again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from feature_repo.errors import RecommendError

logger = logging.getLogger("bentoml.recommend")


class Faults:
    """Parts that are down, so that a thousand failing requests do not write a thousand lines."""

    def __init__(self) -> None:
        """All is well."""
        self._broken: dict[str, str] = {}

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
        if self._broken.get(part) != reason:
            self._broken[part] = reason
            logger.error("%s failed: %s", part, reason)

    def working(self, part: str) -> None:
        """Say that ``part`` works again, if it did not."""
        if self._broken.pop(part, None) is not None:
            logger.warning("%s works again", part)
