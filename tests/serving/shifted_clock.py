"""A wall clock that can be set, for one service: put first on its path as ``sitecustomize``.

The file that ``SHIFTED_CLOCK`` names says how many seconds the clock is ahead; it is looked at ten times a second. The
monotonic clock goes on, as it does when somebody sets a real one.
"""

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from feature_repo import clock

_file, _true_time = Path(os.environ["SHIFTED_CLOCK"]), time.time
_looked = _ahead = 0.0


def ahead() -> float:
    """Seconds."""
    global _looked, _ahead
    if time.monotonic() > _looked + 0.1:
        _looked, _ahead = time.monotonic(), float(_file.read_text())
    return _ahead


class ShiftedDatetime(datetime):
    """Its present is shifted."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """See `datetime.datetime`."""
        return super().now(tz) + timedelta(seconds=ahead())


time.time = lambda: _true_time() + ahead()
clock.datetime = ShiftedDatetime  # type: ignore[misc]
