"""Stages that change who is answered, and in which order: *filter*, *discount*, *boost*, *order*, *diversify*, *explore*."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.context import PREFIX
from feature_repo.recommender import SOURCE
from serving.diversity import capped, maximal_marginal_relevance
from serving.draft import Draft
from serving.exploration import draw
from serving.expressions import Expression
from serving.recent import RecentImpressions

_MOST = float(np.finfo(np.float32).max) / 2
"""What a boost adds at most: scores are float32, and a sum of the two must be finite."""


def filter_by(draft: Draft) -> Draft:
    """Keep the candidates for which the request's expression holds."""
    if draft.wish.filter is None or not len(draft.candidates.ids):
        return draft
    passes = _value(draft.wish.filter, draft)
    return draft if passes.all() else draft.take(np.flatnonzero(passes))


def boost(draft: Draft) -> Draft:
    """Add the request's expression to the scores; where it is no number that a score can be it adds nothing."""
    extra = boosts(draft)
    return draft if extra is None else draft.but(scores=(draft.scores + extra).astype(np.float32))


def boosts(draft: Draft) -> NDArray[np.float64] | None:
    """What the request's expression adds to each score, ``[candidates]``; None where there is nothing to add."""
    if draft.wish.boost is None or not len(draft.candidates.ids):
        return None
    extra: NDArray[np.float64] = _value(draft.wish.boost, draft)
    return np.where(np.abs(extra) <= _MOST, extra, 0.0)  # NaN is not


def discount(recent: RecentImpressions, draft: Draft) -> Draft:
    """Take off what was just shown to the same asker, as the declaration says."""
    declared = draft.recommender.discount
    if declared is None or not len(draft.candidates.ids):
        return draft
    seen = recent.weights(draft)
    if not seen.any():
        return draft
    less = declared.strength * float(draft.scores.std()) * seen
    return draft.but(scores=(draft.scores - less).astype(np.float32))


def order(draft: Draft) -> Draft:
    """Sort by score, best first; of equals, the one retrieved first."""
    return draft.take(np.argsort(-draft.scores, kind="stable"))


def diversify(draft: Draft) -> Draft:
    """Trade scores for variety as far as the request asks, and keep its caps."""
    draft, wish = draft.but(left=len(draft.candidates.ids)), draft.wish
    if not (wish.diversity or wish.caps) or not len(draft.candidates.ids):
        return draft
    order = np.arange(len(draft.candidates.ids))
    if wish.diversity:
        names = draft.recommender.feature_names
        vectors = _standardized(draft.features[:, [names.index(n) for n in draft.recommender.alike_by]])
        wanted = len(order) if wish.caps else draft.considered
        order = maximal_marginal_relevance(draft.scores, vectors, wish.diversity, wanted)
    caps = [(_attribute(draft, name), cap) for name, cap in wish.caps.items()]
    return draft.take(capped(order, caps) if caps else order)


def explore(draft: Draft) -> Draft:
    """Draw the items to show from the variant's policy; an answer that is degraded explores nothing."""
    policy = None if draft.degraded else draft.variant.exploration
    # Seeded by the request's id, so that the draw can be made again from the log.
    answer = draw(policy, draft.scores, draft.limit, np.random.default_rng(draft.request_id))
    return draft.take(answer.positions).but(propensities=answer.propensities.astype(np.float32))


def _value(expression: Expression, draft: Draft) -> NDArray[Any]:
    names = draft.recommender.feature_names
    size = len(draft.candidates.ids)
    columns = {
        name: draft.features[:, names.index(name)] if name in names else _said(draft, name, size)
        for name in expression.names
    }
    return expression.evaluate(columns, size)


def _said(draft: Draft, name: str, size: int) -> NDArray[np.float32]:
    """A value of the request's context for every candidate; NaN where the request does not say."""
    return np.full(size, draft.context.get(name.removeprefix(PREFIX), np.nan), np.float32)


def _standardized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns with mean 0 and deviation 1 among the candidates; missing values at the mean."""
    known = ~np.isnan(vectors)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, vectors, 0)
    centred = np.where(known, vectors - filled.sum(axis=0) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    scaled: NDArray[np.float32] = (centred / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    return scaled


def _attribute(draft: Draft, name: str) -> Sequence[object]:
    """A value for every candidate; None where it is missing."""
    if name == SOURCE:
        named = draft.candidates.named
        most_trusted: list[object] = (named & (~named + np.uint64(1))).tolist()  # the lowest bit
        return most_trusted
    column = draft.features[:, draft.recommender.feature_names.index(name)].tolist()
    return [None if value != value else value for value in column]
