"""How long engines take that answer the same question, in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Engine = Callable[[], float]
"""Joins once, and says how many seconds it took."""


@dataclass(frozen=True)
class Timing:
    """What one engine took.

    Args:
        what: The engine, and what was particular about its rows.
        labels: How many label rows it joined.
        seconds: Of each repeat.
    """

    what: str
    labels: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return float(np.median(self.seconds))

    @property
    def p99(self) -> float:
        """Seconds; of a few repeats it is all but the greatest."""
        return float(np.quantile(self.seconds, 0.99))


def interleaved(engines: Mapping[str, Engine], labels: int, repeats: int) -> dict[str, Timing]:
    """Every engine in turn, ``repeats`` times over, so that what else the machine does falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repeats):
        for name, engine in engines.items():
            seconds[name].append(engine())
    return {name: Timing(name, labels, tuple(taken)) for name, taken in seconds.items()}
