"""An answer in the making: what one request's stages hand from one to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from feature_repo.experiment import OUTSIDE, Variant
from feature_repo.recommender import Recommender
from serving.scorer import Scorer
from serving.wish import Wish
from training.rankers import Matrix


@dataclass(frozen=True, eq=False)
class Candidates:
    """Who may be answered.

    Args:
        ids: int64, ``[candidates]``, without repeats.
        named: uint64, ``[candidates]``: bit k where ``names[k]`` named the candidate.
        names: The sources.
    """

    ids: NDArray[np.int64]
    named: NDArray[np.uint64]
    names: tuple[str, ...]

    @property
    def sources(self) -> list[list[str]]:
        """For each candidate, the sources that named it; made anew at each look, for those that are shown."""
        return [[name for k, name in enumerate(self.names) if bits >> k & 1] for bits in self.named.tolist()]

    def take(self, positions: NDArray[np.int64]) -> "Candidates":
        """Those at ``positions``, in that order."""
        return Candidates(self.ids[positions], self.named[positions], self.names)


NOBODY = Candidates(np.zeros(0, np.int64), np.zeros(0, np.uint64), ())


@dataclass(frozen=True, eq=False)
class Draft:
    """Every stage answers a copy that knows more.

    Args:
        request_id: int64.
        recommender: As declared.
        scorer: Taken once, so that a promotion in the middle of a request does not mix two models.
        workspace_id: Whose request it is.
        instant: As of when; the impressions' ``event_timestamp``.
        limit: How many items at most.
        context: Request-time numbers.
        query_id: Who asks; ``feature_repo.identity.UNKNOWN`` for a stranger.
        excluded: Candidate ids that must not be answered.
        rung: What ranks.
        model_version: Of the scorer in service, also where popularity answers in its stead.
        wish: What the request wants beyond a plain list.
        experiment: The one that the answer belongs to, if any.
        variant: Its arm; by it the scorer was taken, and the answer is drawn.
        degraded: Whether a part behind was down.
        candidates: Retrieved; best first once scored.
        features: float32, ``[candidates, features]``.
        scores: float32, ``[candidates]``.
        names: The caller's ids of the candidates; once known, the candidates are those that can be shown.
        propensities: float32, ``[candidates]``, of the items at their positions; once known, all are shown.
        warnings: Codes of what the caller may want to know.
        timings: Seconds by stage; one object for all copies.
    """

    request_id: int
    recommender: Recommender
    scorer: Scorer
    workspace_id: int
    instant: datetime
    limit: int
    context: Mapping[str, float]
    query_id: int
    excluded: frozenset[int]
    rung: str
    model_version: str
    wish: Wish = field(default_factory=Wish)
    experiment: str | None = None
    variant: Variant = OUTSIDE
    degraded: bool = False
    candidates: Candidates = NOBODY
    features: Matrix = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    names: tuple[str, ...] = ()
    propensities: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def considered(self) -> int:
        """How many of the best items may be shown."""
        policy = self.variant.exploration
        return self.limit + (policy.pool if policy else 0)

    def warn(self, code: str) -> "Draft":
        """The same with one more warning."""
        return replace(self, warnings=(*self.warnings, code))

    def take(self, positions: NDArray[np.int64]) -> "Draft":
        """The same with the candidates at ``positions``, in that order, and what is known of them."""
        return replace(
            self,
            candidates=self.candidates.take(positions),
            features=self.features[positions],
            scores=self.scores[positions] if len(self.scores) else self.scores,
            names=tuple(self.names[p] for p in positions) if self.names else (),
        )
