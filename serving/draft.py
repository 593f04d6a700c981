"""An answer in the making: what one request's stages hand from one to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.context import ContextValue
from feature_repo.experiment import OUTSIDE, Variant
from feature_repo.recommender import Recommender
from serving.contract import Reason
from serving.deadline import NEVER, Claim, Deadline
from serving.scorer import Scorer
from serving.wish import Wish
from training.rankers import Matrix

CALLER = "caller"
"""The source of candidates that the request brought along."""


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

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """For each candidate, whether the caller named it; ``[candidates]``."""
        own: NDArray[np.bool_] = (self.named & self._own) != 0
        return own

    def with_own(self, ids: NDArray[np.int64]) -> "Candidates":
        """The same, where ``ids`` are those that the caller named, as far as they are among these; some may have nobody
        then who named them."""
        own = np.isin(self.ids, ids)
        return Candidates(
            self.ids, np.where(own, self.named | self._own, self.named & ~self._own), self.names
        )

    def take(self, positions: NDArray[np.int64]) -> "Candidates":
        """Those at ``positions``, in that order."""
        return Candidates(self.ids[positions], self.named[positions], self.names)

    @property
    def _own(self) -> np.uint64:
        return np.uint64(1 << self.names.index(CALLER))


NOBODY = Candidates(np.zeros(0, np.int64), np.zeros(0, np.uint64), ())


@dataclass(frozen=True, eq=False)
class Draft:
    """Every stage answers a copy that knows more.

    Args:
        request_id: int64.
        recommender: As declared.
        scorer: Taken once, so that a promotion in the middle of a request does not mix two models.
        lower: The next rungs of the ladder, for where the scorer fails or there is no time for it.
        shadows: What scores the candidates too, by variant, and is logged, but not shown.
        deadline: Until when the answer is due.
        claim: Taken before the answer is logged.
        token_key: What the asker's page tokens are sealed with.
        shown: Ids that pages before this one have shown, in their order.
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
        candidates: Retrieved; best first once ordered.
        features: float32, ``[candidates, features]``.
        scores: float32, ``[candidates]``.
        left: How many candidates there were to choose the shown ones from.
        names: The caller's ids of the candidates; once known, the candidates are those that can be shown.
        propensities: float32, ``[candidates]``, of the items at their positions; once known, all are shown.
        reasons: For each candidate, what raised its score most; once known, none where they are not asked for.
        warnings: Codes of what the caller may want to know.
        pool: The draft before it was scored, for the shadows; none where there are none.
        timings: Seconds by stage; one object for all copies.
    """

    request_id: int
    recommender: Recommender
    scorer: Scorer
    workspace_id: int
    instant: datetime
    limit: int
    context: Mapping[str, ContextValue]
    query_id: int
    excluded: frozenset[int]
    rung: str
    model_version: str
    lower: tuple[Scorer, ...] = ()
    shadows: tuple[tuple[str, Scorer], ...] = ()
    deadline: Deadline = NEVER
    claim: Claim = field(default_factory=Claim)
    token_key: bytes = b""
    shown: tuple[int, ...] = ()
    wish: Wish = field(default_factory=Wish)
    experiment: str | None = None
    variant: Variant = OUTSIDE
    degraded: bool = False
    candidates: Candidates = NOBODY
    features: Matrix = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    left: int = 0
    names: tuple[str, ...] = ()
    propensities: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    reasons: tuple[Sequence[Reason], ...] = ()
    warnings: tuple[str, ...] = ()
    pool: "Draft | None" = None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def considered(self) -> int:
        """How many of the best items may be shown."""
        policy = self.variant.exploration
        return self.limit + (policy.pool if policy else 0)

    def but(self, **changes: Any) -> "Draft":
        """The same with other fields: `dataclasses.replace` without a new call of the constructor, which with so many
        fields takes ten times as long, a dozen times an answer."""
        assert changes.keys() <= _FIELDS, f"no fields of a draft: {changes.keys() - _FIELDS}"
        other = object.__new__(Draft)
        other.__dict__.update(self.__dict__, **changes)
        return other

    def warn(self, code: str) -> "Draft":
        """The same with one more warning, if it was not there."""
        if code in self.warnings:
            return self
        return self.but(warnings=(*self.warnings, code))

    def degrade(self, code: str) -> "Draft":
        """The same as a lesser answer, and why."""
        return self.but(degraded=True, warnings=(*self.warnings, code))

    def ranked_by(self, scorer: Scorer) -> "Draft":
        """The same with another scorer."""
        return self.but(scorer=scorer, rung=scorer.rung, model_version=scorer.model_version)

    def take(self, positions: NDArray[np.int64]) -> "Draft":
        """The same with the candidates at ``positions``, in that order, and what is known of them."""
        return self.but(
            candidates=self.candidates.take(positions),
            features=self.features[positions],
            scores=self.scores[positions] if len(self.scores) else self.scores,
            names=tuple(self.names[p] for p in positions) if self.names else (),
        )


_FIELDS = frozenset(f.name for f in fields(Draft))
