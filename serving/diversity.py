"""Re-ranking for variety: maximal marginal relevance, and caps on how often an attribute's value may be shown."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def maximal_marginal_relevance(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], weight: float, wanted: int
) -> NDArray[np.intp]:
    """The order in which each next item is the best trade between its score and its likeness to those before it.

    ``argmax (1 - weight) · s - weight · max cos`` (Carbonell & Goldstein 1998), with the scores brought to [0, 1].

    Args:
        scores: ``[items]``.
        vectors: What likeness is measured by, ``[items, dimensions]``; NaN counts as 0, an all-zero row is like none.
        weight: From 0, the order of the scores, to 1, likeness alone.
        wanted: How many items are ordered at most.

    Returns:
        Positions, ``[min(wanted, items)]``; of equals, the earlier item first.
    """
    count = min(wanted, len(scores))
    if not weight:
        return np.argsort(-scores, kind="stable")[:count]
    directions = np.nan_to_num(vectors.astype(np.float32, copy=True))
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    np.divide(directions, lengths, out=directions, where=lengths > 0)
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
    relevance = (1 - weight) * (scores - low) / ((high - low) or 1.0)
    likeness = np.zeros(len(scores), np.float32)
    chosen = np.empty(count, np.intp)
    left = np.ones(len(scores), np.bool_)
    for n in range(count):
        worth = np.where(left, relevance - weight * likeness, -np.inf)
        best = int(worth.argmax())
        chosen[n], left[best] = best, False
        with_best = directions @ directions[best]
        likeness = with_best if n == 0 else np.maximum(likeness, with_best)
    return chosen


def capped(order: NDArray[np.intp], attributes: Sequence[tuple[Sequence[object], int]]) -> NDArray[np.intp]:
    """The order without items of which an attribute's value has been taken as often as its cap allows.

    Args:
        order: Positions, best first.
        attributes: Pairs of an attribute's value for every item, and the cap; a value of None is never capped.
    """
    taken: list[Counter[object]] = [Counter() for _ in attributes]
    kept = []
    for position in order.tolist():
        values = [values[position] for values, _ in attributes]
        if any(
            v is not None and t[v] >= cap for v, t, (_, cap) in zip(values, taken, attributes, strict=True)
        ):
            continue
        for value, counter in zip(values, taken, strict=True):
            counter[value] += 1
        kept.append(position)
    return np.array(kept, np.intp)
