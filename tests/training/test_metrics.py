"""Each metric against a second implementation, on random rankings."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from training import metrics
from training.metrics import Ranking


@st.composite
def rankings(draw: st.DrawFn) -> Ranking:
    sizes = draw(st.lists(st.integers(2, 25), min_size=1, max_size=8))
    n = sum(sizes)
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), np.int8)
    distinct = draw(st.permutations(range(n)))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found = np.add.reduceat(labels.astype(np.int64), starts)
    missed = np.array(draw(st.lists(st.integers(0, 3), min_size=len(sizes), max_size=len(sizes))))
    positives = np.maximum(found + missed, 1)
    return Ranking(labels, np.array(distinct, np.float32), starts, positives)


def queries(ranking: Ranking) -> list[tuple[list[int], list[float], int]]:
    bounds = [*ranking.starts, len(ranking.labels)]
    return [
        (ranking.labels[a:b].tolist(), ranking.scores[a:b].tolist(), int(p))
        for a, b, p in zip(bounds, bounds[1:], ranking.positives, strict=False)
    ]


def ranked_labels(labels: list[int], scores: list[float]) -> list[int]:
    return [label for _, label in sorted(zip(scores, labels, strict=True), reverse=True)]


@given(rankings())
def test_ndcg_equals_its_definition(ranking: Ranking) -> None:
    for value, (labels, scores, positives) in zip(metrics.ndcg(ranking), queries(ranking), strict=True):
        gain = sum(label / math.log2(i + 2) for i, label in enumerate(ranked_labels(labels, scores)[:10]))
        ideal = sum(1 / math.log2(i + 2) for i in range(min(positives, 10)))
        assert value == pytest.approx(gain / ideal)


@given(rankings())
def test_ndcg_equals_sklearn_where_all_positives_were_retrieved(ranking: Ranking) -> None:
    for value, (labels, scores, positives) in zip(metrics.ndcg(ranking), queries(ranking), strict=True):
        if sum(labels) == positives:
            assert value == pytest.approx(ndcg_score([labels], [scores], k=10))


@given(rankings())
def test_hit_recall_and_reciprocal_rank_equal_their_definitions(ranking: Ranking) -> None:
    values = zip(
        metrics.hit_rate(ranking),
        metrics.recall(ranking),
        metrics.reciprocal_rank(ranking),
        queries(ranking),
        strict=True,
    )
    for hit, recall, reciprocal, (labels, scores, positives) in values:
        order = ranked_labels(labels, scores)
        assert hit == float(any(order[:10]))
        assert recall == pytest.approx(sum(order[:10]) / positives)
        assert reciprocal == pytest.approx(1 / (order.index(1) + 1) if any(order) else 0.0)


@given(rankings(), st.integers(1, 4))
def test_auc_equals_sklearn_with_ties(ranking: Ranking, buckets: int) -> None:
    tied = Ranking(ranking.labels, ranking.scores % buckets, ranking.starts, ranking.positives)
    for value, (labels, scores, _) in zip(metrics.auc(tied), queries(tied), strict=True):
        if 0 < sum(labels) < len(labels):
            assert value == pytest.approx(roc_auc_score(labels, scores))
        else:
            assert math.isnan(value)


@given(rankings())
def test_log_loss_equals_sklearn(ranking: Ranking) -> None:
    probabilities = 1 / (1 + np.exp(-(ranking.scores.astype(np.float64) - 10) / 10))
    bounds = [*ranking.starts, len(ranking.labels)]
    for value, a, b in zip(metrics.log_loss(ranking, probabilities), bounds, bounds[1:], strict=False):
        assert value == pytest.approx(
            sklearn_log_loss(ranking.labels[a:b], probabilities[a:b], labels=[0, 1])
        )


@given(rankings())
def test_positions_are_a_permutation_in_the_order_of_scores(ranking: Ranking) -> None:
    positions = ranking.positions
    bounds = [*ranking.starts, len(ranking.labels)]
    for a, b in itertools.pairwise(bounds):
        assert sorted(positions[a:b]) == list(range(1, b - a + 1))
        assert np.all(np.diff(ranking.scores[a:b][np.argsort(positions[a:b])]) < 0)
