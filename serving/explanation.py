"""Why an item was answered, and why another was not: reasons from the ranker's own terms, and a trace of the stages."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.contract import Reason
from serving.draft import Draft
from serving.popularity import POPULARITY

REASONS = 3
"""Reasons given for an item."""


def reasons(draft: Draft) -> list[list[Reason]]:
    """For each candidate, the features that raised its score most, the greatest first; none where nothing was ranked."""
    if draft.rung == POPULARITY or not len(draft.candidates.ids):
        return [[] for _ in draft.candidates.ids]
    parts = draft.scorer.ranker.contributions(draft.features)[:, :-1]
    return [_greatest(draft, n, part, np.argsort(-part, kind="stable")) for n, part in enumerate(parts)]


def differences(draft: Draft, lower: int, higher: int) -> list[Reason]:
    """The features by which the candidate at ``higher`` has the better score, with the values of the one at ``lower``."""
    if draft.rung == POPULARITY:
        return []
    parts = draft.scorer.ranker.contributions(draft.features[[lower, higher]])[:, :-1]
    ahead = parts[1] - parts[0]
    return _greatest(draft, lower, ahead, np.argsort(-ahead, kind="stable"))


def sentence(sources: Sequence[str], found: Sequence[Reason]) -> str:
    """The reasons as a person reads them."""
    named = f"found by {' and '.join(sources)}" if sources else "found by no source"
    told = [
        f"{r.feature.replace('__', ' ').replace('_', ' ')} {_shown(r.value)} ({r.contribution:+.2f})"
        for r in found
    ]
    return "; ".join([named, *told])


def _greatest(draft: Draft, row: int, parts: NDArray[np.float32], order: NDArray[np.intp]) -> list[Reason]:
    names = draft.recommender.feature_names
    return [
        Reason(
            feature=names[k],
            value=None if np.isnan(draft.features[row, k]) else float(draft.features[row, k]),
            contribution=float(parts[k]),
        )
        for k in order[:REASONS]
        if parts[k] > 0
    ]


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"
