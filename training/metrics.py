"""Ranking metrics of many queries at once. One value a query; NaN where a metric is not defined.

Every function takes flat arrays in which a query's candidates are contiguous from ``starts[i]`` on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Scored candidates of many queries.

    Args:
        labels: ``[n]`` 0 or 1.
        scores: ``[n]``; higher ranks first, equal scores rank as they come.
        starts: ``[queries]`` row at which each begins.
        positives: ``[queries]`` positives there were, retrieved or not.
    """

    labels: NDArray[np.int8]
    scores: NDArray[np.float32]
    starts: NDArray[np.int64]
    positives: NDArray[np.int64]

    @property
    def groups(self) -> NDArray[np.int64]:
        """``[n]`` number of each row's query."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(self.labels))))

    @property
    def positions(self) -> NDArray[np.int64]:
        """``[n]`` position of each row in its query's ranking; 1 is the top."""
        groups = self.groups
        order = np.lexsort((-self.scores, groups))
        positions = np.empty(len(self.labels), np.int64)
        positions[order] = np.arange(len(self.labels)) - self.starts[groups[order]] + 1
        return positions


def ndcg(ranking: Ranking, k: int = 10) -> Values:
    """Normalised discounted cumulative gain (Järvelin & Kekäläinen 2002), gain 1, discount log2(1 + position).

    The ideal ranking holds every positive, so what no source retrieved counts against it.
    """
    positions = ranking.positions
    gains = np.where((positions <= k) & (ranking.labels == 1), 1 / np.log2(1 + positions), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(2 + np.arange(k)))])
    return np.asarray(_per_query(ranking, gains) / ideal[np.minimum(ranking.positives, k)])


def hit_rate(ranking: Ranking, k: int = 10) -> Values:
    """1 where any of the first ``k`` is a positive."""
    return (_per_query(ranking, (ranking.positions <= k) * ranking.labels) > 0).astype(np.float64)


def recall(ranking: Ranking, k: int = 10) -> Values:
    """Share of all positives that are among the first ``k``."""
    return _per_query(ranking, (ranking.positions <= k) * ranking.labels) / ranking.positives


def reciprocal_rank(ranking: Ranking) -> Values:
    """1 / position of the first positive, 0 where none was retrieved; its mean is MRR."""
    inverse = np.where(ranking.labels == 1, 1 / ranking.positions, 0.0)
    return np.asarray(np.maximum.reduceat(inverse, ranking.starts))


def auc(ranking: Ranking) -> Values:
    """Chance that a positive outranks a negative of the same query, ties half (Hanley & McNeil 1982)."""
    order = np.lexsort((ranking.scores, ranking.groups))
    groups, scores = ranking.groups[order], ranking.scores[order]
    ranks = np.arange(len(order), dtype=np.float64) - ranking.starts[groups] + 1
    tied = np.concatenate([[0], np.flatnonzero((np.diff(scores) != 0) | (np.diff(groups) != 0)) + 1])
    sizes = np.diff(np.append(tied, len(order)))
    midranks = np.repeat(np.add.reduceat(ranks, tied) / sizes, sizes)
    rank_sums = np.empty(len(order))
    rank_sums[order] = midranks
    hits = _per_query(ranking, ranking.labels)
    misses = _per_query(ranking, 1 - ranking.labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (_per_query(ranking, rank_sums * ranking.labels) - hits * (hits + 1) / 2) / (hits * misses)
    return np.where(hits * misses > 0, value, np.nan)


def log_loss(ranking: Ranking, probabilities: NDArray[np.float64]) -> Values:
    """Mean negative log likelihood of the query's labels, in nats."""
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    losses = -np.where(ranking.labels == 1, np.log(clipped), np.log1p(-clipped))
    return _per_query(ranking, losses) / _per_query(ranking, np.ones(len(losses)))


def _per_query(ranking: Ranking, values: NDArray) -> Values:
    return np.asarray(np.add.reduceat(values.astype(np.float64), ranking.starts))
