"""Why an item was answered, and why another was not: reasons from the ranker's own terms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.adjustment import boosts
from serving.contract import Reason
from serving.draft import Draft
from serving.faults import Faults
from serving.popularity import POPULARITY

REASONS = 3
"""Reasons given for an item."""
BOOST = "boost"
"""The request's own expression, as a reason."""


@dataclass(frozen=True)
class _Terms:
    """What adds up to the scores of some candidates.

    Args:
        names: Of the terms: the features, and the request's boost.
        values: What each was made of, ``[candidates, terms]``.
        parts: What each added, ``[candidates, terms]``.
    """

    names: Sequence[str]
    values: NDArray[np.float64]
    parts: NDArray[np.float64]

    def greatest(self, row: int, parts: NDArray[np.float64]) -> list[Reason]:
        """The `REASONS` greatest of ``parts`` that are above 0, with the values of the candidate at ``row``."""
        return [
            Reason(
                feature=self.names[k],
                value=None if np.isnan(self.values[row, k]) else float(self.values[row, k]),
                contribution=float(parts[k]),
            )
            for k in np.argsort(-parts, kind="stable")[:REASONS]
            if parts[k] > 0
        ]


def explain(faults: Faults, draft: Draft) -> Draft:
    """Stage *explain*: the reasons, if the request asks for them; the items can do without."""
    if draft.wish.explain:
        with faults.watch(f"reasons of {draft.recommender.name}"):
            return draft.but(reasons=tuple(reasons(draft)))
    return draft


def reasons(draft: Draft) -> list[list[Reason]]:
    """For each candidate, what raised its score most, the greatest first; none where nothing was ranked."""
    if draft.rung == POPULARITY or not len(draft.candidates.ids):
        return [[] for _ in draft.candidates.ids]
    terms = _terms(draft)
    return [terms.greatest(row, parts) for row, parts in enumerate(terms.parts)]


def differences(draft: Draft, lower: int, higher: int) -> list[Reason]:
    """By what the candidate at ``higher`` has the better score, with the values of the one at ``lower``."""
    if draft.rung == POPULARITY:
        return []
    terms = _terms(draft.take(np.array([lower, higher])))
    return terms.greatest(0, terms.parts[1] - terms.parts[0])


def sentence(sources: Sequence[str], found: Sequence[Reason]) -> str:
    """The reasons as a person reads them."""
    named = " and ".join(_plain(source.removeprefix("by_")) for source in sources) or "no source"
    told = [f"{_plain(r.feature)} {_shown(r.value)} ({r.contribution:+.2f})" for r in found]
    return "; ".join([f"found by {named}", *told])


def _terms(draft: Draft) -> _Terms:
    names, values = draft.recommender.feature_names, draft.features
    parts = draft.scorer.ranker.contributions(values)[:, :-1]
    extra = boosts(draft)
    if extra is None:
        return _Terms(names, values.astype(np.float64), parts.astype(np.float64))
    return _Terms((*names, BOOST), np.column_stack((values, extra)), np.column_stack((parts, extra)))


def _plain(name: str) -> str:
    return name.replace("__", " ").replace("_", " ")


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{round(value, 2):.7g}"
