"""When people are at it: the hours of a day and the days of a week, by time zone.

Inside the generator an instant is an int64: microseconds since the sample's first midnight (UTC).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
NEVER: Final = np.iinfo(np.int64).max
"""The instant of what does not happen within the sample."""

OFFSETS: Final = np.array([-480, -300, 0, 60, 330, 540], np.int16)
"""Time zones, as minutes east of UTC: multiples of a slot."""
OFFSET_SHARES: Final = np.array([0.22, 0.2, 0.13, 0.25, 0.14, 0.06])

_SLOT_MINUTES: Final = 30
_SLOTS: Final = 24 * 60 // _SLOT_MINUTES
_WEEKEND: Final = 0.15
# Relative activity by local hour: a working day with a dip at noon and a thin evening.
_HOURS: Final = np.array(
    [2, 1, 1, 1, 1, 1, 2, 6, 25, 70, 95, 90, 55, 75, 95, 90, 75, 50, 25, 15, 12, 10, 7, 4], np.float64
)


def _slot_weights() -> NDArray[np.float64]:
    """Share of a working day's activity by ``[zone, UTC weekday, UTC slot]``; the last zone never sleeps."""
    local_day = np.repeat(_HOURS, _SLOTS // 24)
    local_day /= local_day.sum()
    local_minutes = np.arange(_SLOTS) * _SLOT_MINUTES + OFFSETS[:, None].astype(np.int64)
    by_hour = local_day[local_minutes // _SLOT_MINUTES % _SLOTS]
    local_weekday = (np.arange(7)[None, :, None] + (local_minutes // (24 * 60))[:, None, :]) % 7
    people = by_hour[:, None, :] * np.where(local_weekday < 5, 1.0, _WEEKEND)
    programs = np.full((1, 7, _SLOTS), 1 / _SLOTS)
    return np.concatenate([people, programs])


_WEIGHTS: Final = _slot_weights()
_CUMULATIVE: Final = np.cumsum(_WEIGHTS, axis=2)
ALWAYS: Final = len(OFFSETS)
"""The zone index of a program: the same at every hour."""


def volume(zone: NDArray[np.int8], weekday: int) -> NDArray[np.float64]:
    """How much of a working day's activity falls on a UTC weekday (0 is Monday); shape ``[len(zone)]``."""
    return np.asarray(_CUMULATIVE[zone, weekday, -1], np.float64)


def times_of_day(rng: np.random.Generator, zone: NDArray[np.int8], weekday: int) -> NDArray[np.int64]:
    """One instant of the UTC day for each zone, in whole seconds as µs since midnight; shape ``[len(zone)]``."""
    cumulative = _CUMULATIVE[zone, weekday]
    draw = rng.random(len(zone)) * cumulative[:, -1]
    slot = (cumulative <= draw[:, None]).sum(axis=1)
    seconds = slot * (_SLOT_MINUTES * 60) + rng.integers(0, _SLOT_MINUTES * 60, len(zone))
    return np.asarray(seconds, np.int64) * SECOND
