"""The training job: datasets, the rungs that were asked for, evidence, bundles in the model store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from feature_repo.identity import WORKSPACE_SHIFT
from feature_repo.recommender import Recommender
from training import bundle, dataset
from training.bundle import Card, Interval
from training.dataset import Dataset, Datasets, Split
from training.evaluate import Evidence, calibrate, evidence, ranking_of
from training.metrics import ndcg
from training.rankers import LADDER, Ranker, ranker_class
from training.rankers.heuristic import HeuristicRanker

REFERENCE_ROWS = 20_000
"""The drift reference holds at most so many rows."""


@dataclass(frozen=True)
class Trained:
    """One rung: its card as stored, its evidence, and its NDCG@10 on the validation users."""

    card: Card
    evidence: Evidence
    validation_ndcg: float


@dataclass(frozen=True)
class Training:
    """What a training run came to."""

    recommender: Recommender
    split: Split
    data: Datasets
    popularity: Evidence
    trained: tuple[Trained, ...]
    seed: int

    def best(self) -> Trained:
        """The rung that ranks best on the validation users: the test is there to judge the choice, not to make it."""
        return max(self.trained, key=lambda t: t.validation_ndcg)

    def lift(self, rung: Trained, over: Evidence) -> Interval:
        """Paired difference in NDCG@10."""
        return rung.evidence.lift(over, "ndcg@10", self.seed)


def train(
    recommender: Recommender,
    as_of: datetime,
    models: Sequence[str] = LADDER,
    *,
    cutoffs: tuple[int, int] = (12, 1),
    seed: int = 7,
    step: Callable[[str], None] = lambda what: None,
) -> Training:
    """Train rungs of the ladder as of an instant and store each as a bundle.

    Args:
        recommender: What to train.
        as_of: Nothing later is seen, neither by a feature nor by a label.
        models: Names of the ladder.
        cutoffs: At most how many cut-offs are learned from, and how many of the last are held out.
        seed: Of the sampling, the rankers and the bootstrap.
        step: Told what begins, for a progress display.

    Raises:
        RecommendError: not enough history, no outcomes, or an unknown ranker.
    """
    classes = {name: ranker_class(name) for name in models}
    split = dataset.split_cutoffs(recommender, as_of, *cutoffs)
    step("as-of joins")
    data = dataset.build(recommender, split, as_of, seed)
    trained = []
    for name, kind in classes.items():
        step(f"training {name}")
        fresh = (
            HeuristicRanker(recommender.heuristic, recommender.feature_names)
            if name == "heuristic"
            else kind()
        )
        ranker = fresh.fit(data.train, data.validation, seed)
        trained.append(_store(recommender, ranker, split, data, as_of, seed))
    popularity = evidence(data.test, data.test.popularity, None)
    return Training(recommender, split, data, popularity, tuple(trained), seed)


def _store(
    recommender: Recommender, ranker: Ranker, split: Split, data: Datasets, as_of: datetime, seed: int
) -> Trained:
    scores, held_scores = ranker.score(data.test.features), ranker.score(data.validation.features)
    found = evidence(data.test, scores, calibrate(held_scores, data.validation.labels))
    card = Card(
        recommender=recommender.name,
        ranker=ranker.name,
        feature_service=recommender.name,
        feature_service_hash=recommender.definition_hash,
        feature_names=recommender.feature_names,
        trained_from=split.train[0],
        trained_to=split.train[-1],
        as_of=as_of,
        workspaces=tuple(np.unique(data.train.query_ids >> WORKSPACE_SHIFT).tolist()),
        metrics=found.intervals(seed),
    )
    stored = bundle.save(card, ranker, _reference(data.test, scores, seed))
    return Trained(stored, found, float(ndcg(ranking_of(data.validation, held_scores)).mean()))


def _reference(test: Dataset, scores: np.ndarray, seed: int) -> pa.Table:
    """Held-out rows for drift: ``position`` lets monitoring compare shown items with what would be shown."""
    positions = ranking_of(test, scores).positions
    table = dataset.to_arrow(test, {"score": scores}).append_column(
        "position", pa.array(positions, pa.int32())
    )
    if len(table) <= REFERENCE_ROWS:
        return table
    # The head of the rankings is what is shown; the tail is sampled.
    draws = np.random.default_rng(seed).random(len(table)) + (positions > 10)
    return table.take(np.sort(np.argsort(draws, kind="stable")[:REFERENCE_ROWS]))
