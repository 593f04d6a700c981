"""Evidence: what a ranker is worth on held-out cut-offs, with intervals, and against another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training import metrics
from training.bundle import Interval
from training.dataset import Dataset
from training.metrics import Ranking, Values

RESAMPLES = 2_000
"""Bootstrap resamples: the 2.5 % quantile is then known to about 0.3 percentage points."""

METRICS = ("ndcg@10", "hit@10", "mrr", "recall@10", "auc", "log_loss")


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: ``probability = 1 / (1 + exp(−(slope · score + bias)))`` (Platt 1999)."""

    slope: float
    bias: float

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """``[n]`` float64 in (0, 1)."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * scores.astype(np.float64) + self.bias))))


@dataclass(frozen=True)
class Evidence:
    """The metrics of one ranker.

    Args:
        by_query: ``[queries]`` values by metric name.
        users: ``[queries]`` who asked; the bootstrap resamples users, since one user's queries are alike.
    """

    by_query: Mapping[str, Values]
    users: NDArray[np.int64]

    def intervals(self, seed: int) -> dict[str, Interval]:
        """The mean of each metric with its 95 % bootstrap interval over users (Efron 1979)."""
        return {name: bootstrap(values, self.users, seed) for name, values in self.by_query.items()}

    def lift(self, other: "Evidence", metric: str, seed: int) -> Interval:
        """Mean paired difference to another ranker on the same queries, with its 95 % interval."""
        return bootstrap(self.by_query[metric] - other.by_query[metric], self.users, seed)


def calibrate(scores: NDArray[np.float32], labels: NDArray[np.int8]) -> Calibration:
    """Fit Platt scaling on rows that the ranker was not fitted on; both of shape ``[n]``."""
    model = LogisticRegression(C=1e6).fit(scores.astype(np.float64)[:, None], labels)
    return Calibration(float(model.coef_[0, 0]), float(model.intercept_[0]))


def ranking_of(data: Dataset, scores: NDArray[np.float32]) -> Ranking:
    """The dataset as ranked by some scores."""
    return Ranking(data.labels, scores, data.starts, data.positives)


def evidence(data: Dataset, scores: NDArray[np.float32], calibration: Calibration | None) -> Evidence:
    """Every metric of the scores; log loss only where a calibration makes them probabilities."""
    ranking = ranking_of(data, scores)
    by_query = {
        "ndcg@10": metrics.ndcg(ranking),
        "hit@10": metrics.hit_rate(ranking),
        "mrr": metrics.reciprocal_rank(ranking),
        "recall@10": metrics.recall(ranking),
        "auc": metrics.auc(ranking),
    }
    if calibration is not None:
        by_query["log_loss"] = metrics.log_loss(ranking, calibration.probabilities(scores))
    return Evidence(by_query, data.query_ids[data.starts])


def bootstrap(values: Values, users: NDArray[np.int64], seed: int) -> Interval:
    """Percentile interval of the mean over queries, users drawn with replacement.

    Args:
        values: ``[queries]``; NaN where the metric is not defined, which is left out.
        users: ``[queries]`` whose they are.
        seed: Same values and seed, same interval.
    """
    known = ~np.isnan(values)
    if not known.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    _, owner = np.unique(users[known], return_inverse=True)
    sums, counts = np.bincount(owner, values[known]), np.bincount(owner).astype(np.float64)
    draws = np.random.default_rng(seed).multinomial(
        len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES
    )
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values[known].mean()), float(low), float(high))
