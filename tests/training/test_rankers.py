"""Every rung: learns what is there to learn, survives a round trip, and is deterministic."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_repo.errors import RecommendError
from training.rankers import LADDER, Matrix, Ranker, ranker_class
from training.rankers.heuristic import HeuristicRanker
from training.rankers.transform import compress

LEARNED = [name for name in LADDER if name != "heuristic"]


@dataclass(frozen=True)
class Rows:
    feature_names: tuple[str, ...]
    features: Matrix
    labels: NDArray[np.int8]
    group_sizes: NDArray[np.int64]


def rows(seed: int, queries: int = 120, size: int = 25) -> Rows:
    """Feature 0 decides, 1 is noise, 2 matters and is often missing, 3 is constant."""
    random = np.random.default_rng(seed)
    n = queries * size
    features = random.exponential(3.0, (n, 4)).astype(np.float32)
    features[:, 3] = 1.0
    logits = 1.5 * np.log1p(features[:, 0]) + 0.7 * np.log1p(features[:, 2]) - 4
    features[random.random(n) < 0.3, 2] = np.nan
    labels = (random.random(n) < 1 / (1 + np.exp(-logits))).astype(np.int8)
    return Rows(("a", "b", "c", "d"), features, labels, np.full(queries, size))


@pytest.fixture(scope="module", params=LEARNED)
def fitted(request: pytest.FixtureRequest) -> Ranker:
    return ranker_class(request.param)().fit(rows(1), rows(2), seed=3)


def test_learned_scores_separate_positives_from_negatives(fitted: Ranker) -> None:
    unseen = rows(5)
    scores = fitted.score(unseen.features)
    positives, negatives = scores[unseen.labels == 1], scores[unseen.labels == 0]
    wins = (positives[:, None] > negatives[None, :]).mean()
    assert wins > 0.65


def test_scores_are_finite_float32_for_missing_and_huge_values(fitted: Ranker) -> None:
    odd = np.array([[np.nan] * 4, [0] * 4, [1e30, 0, 1e30, 0], [-5, -5, -5, -5]], np.float32)
    scores = fitted.score(odd)
    assert scores.dtype == np.float32
    assert scores.shape == (4,)
    assert np.isfinite(scores).all()


def test_contributions_add_up_to_the_score(fitted: Ranker) -> None:
    unseen = rows(6, queries=8).features
    parts = fitted.contributions(unseen)
    assert (parts.dtype, parts.shape) == (np.float32, (len(unseen), 5))
    assert np.allclose(parts.sum(axis=1), fitted.score(unseen), atol=1e-3)
    assert np.allclose(parts[:, 4], parts[0, 4]), "the base is shared"
    assert np.abs(parts[:, 3]).max() < 1e-6, "a constant tells nothing"
    spread = np.abs(parts[:, :3]).mean(axis=0)
    assert spread[0] > spread[2] > spread[1], "by how much each matters"


def test_a_stored_ranker_scores_the_same(fitted: Ranker, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    unseen = rows(6).features
    np.testing.assert_array_equal(type(fitted).load(tmp_path).score(unseen), fitted.score(unseen))


@pytest.mark.parametrize("name", LEARNED)
def test_same_data_and_seed_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    contents = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        ranker_class(name)().fit(rows(1), rows(2), seed=3).save(tmp_path / run)
        contents.append({p.name: p.read_bytes() for p in (tmp_path / run).iterdir()})
    assert contents[0] == contents[1]


def test_heuristic_is_the_weighted_sum_of_compressed_features(tmp_path: Path) -> None:
    ranker = HeuristicRanker({"a": 2.0, "c": -1.0}, ("a", "b", "c"))
    features = np.array([[np.e - 1, 7.0, np.nan], [0.0, 7.0, np.e**2 - 1]], np.float32)
    np.testing.assert_allclose(ranker.score(features), [2.0, -2.0], rtol=1e-6)
    ranker.save(tmp_path)
    np.testing.assert_array_equal(HeuristicRanker.load(tmp_path).score(features), ranker.score(features))


def test_heuristic_contributions_are_its_terms() -> None:
    ranker = HeuristicRanker({"a": 2.0, "c": -1.0}, ("a", "b", "c"))
    features = np.array([[np.e - 1, 5, np.nan], [0, 1, np.e - 1]], np.float32)
    assert np.allclose(ranker.contributions(features), [[2, 0, 0, 0], [0, 0, -1, 0]])


def test_compress_is_odd_and_monotone() -> None:
    x = np.linspace(-50, 50, 101, dtype=np.float32)[None, :]
    y = compress(x)
    np.testing.assert_allclose(y, -compress(-x), atol=1e-6)
    assert np.all(np.diff(y[0]) > 0)


def test_an_unknown_ranker_is_named_with_the_known_ones() -> None:
    with pytest.raises(RecommendError, match=r"'forest'.*heuristic, logistic, lightgbm, xgboost"):
        ranker_class("forest")
