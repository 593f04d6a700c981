"""An experiment on a recommender: who gets which ranker and policy, from when to when. Domain-free."""

import math
from dataclasses import dataclass
from datetime import datetime

from feature_repo.errors import RecommendError
from feature_repo.exploration import Exploration

CHAMPION = "champion"
"""The promoted version; also the name of the variant outside an experiment."""


@dataclass(frozen=True)
class Variant:
    """One way of answering.

    Args:
        name: In the answer and the log.
        weight: Its share of the units, relative to the other variants' weights; 0 for a shadow.
        version: What ranks: `CHAMPION`, or what ``recommend promote`` takes (a version, a ranker's name).
        exploration: Its policy; none shows the ranker's own order.
        shadow: Whether it is scored beside every answer of the experiment, and logged, but never shown.
    """

    name: str
    weight: float
    version: str = CHAMPION
    exploration: Exploration | None = None
    shadow: bool = False


OUTSIDE = Variant(CHAMPION, 1.0)
"""The variant of an answer that belongs to no experiment."""

DECLARED = "declared"
"""The version of the declaration's own heuristic, which no training made."""
AS_DECLARED = Variant(DECLARED, 1.0, DECLARED)
"""The heuristic's variant, for trying it out."""


@dataclass(frozen=True)
class Experiment:
    """Variants that are compared.

    Args:
        name: Unique for the recommender; another name deals the units anew.
        variants: At least two, each with another name; at least one is shown.
        starts: The first instant, with its time zone.
        ends: The first instant that does not belong to it any more.
    """

    name: str
    variants: tuple[Variant, ...]
    starts: datetime
    ends: datetime

    def __post_init__(self) -> None:
        names = [v.name for v in self.variants]
        if len(names) < 2 or len(set(names)) < len(names):
            raise self._error(
                f"needs two or more variants of different names, not {', '.join(names) or 'none'}"
            )
        for variant in self.variants:
            if variant.shadow:
                if variant.weight or variant.exploration:
                    raise self._error(
                        f"shows {variant.name} to nobody: give a shadow the weight 0 and no policy"
                    )
            elif not (math.isfinite(variant.weight) and variant.weight > 0):
                raise self._error(f"gives {variant.name} the weight {variant.weight}: a weight is above 0")
        if not self.shown:
            raise self._error("has shadows only: add the variant that is shown")
        if self.starts.tzinfo is None or self.ends.tzinfo is None:
            raise self._error("needs a time zone in its start and end: write tzinfo=UTC")
        if self.starts >= self.ends:
            raise self._error(f"ends ({self.ends}) before it starts ({self.starts})")

    @property
    def shown(self) -> tuple[Variant, ...]:
        """The variants that units are dealt to."""
        return tuple(v for v in self.variants if not v.shadow)

    @property
    def shadows(self) -> tuple[Variant, ...]:
        """The variants that are only scored and logged."""
        return tuple(v for v in self.variants if v.shadow)

    def runs(self, instant: datetime) -> bool:
        """Whether an answer at ``instant`` belongs to it."""
        return self.starts <= instant < self.ends

    def _error(self, what: str) -> RecommendError:
        return RecommendError(f"experiment {self.name} {what}")
