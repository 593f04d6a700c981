"""The whole training job on a community in which features decide: it learns, and its evidence is true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feature_repo.catalog import recommender
from feature_repo.errors import RecommendError
from feature_repo.home import models_path
from tests.community import AS_OF, NAME, TEST_CUTOFF
from tests.conftest import Trained
from training import bundle, job
from training.evaluate import METRICS, calibrate, evidence, ranking_of
from training.job import REFERENCE_ROWS, train
from training.metrics import ndcg
from training.rankers import LADDER

LEARNED = LADDER[1:]


def test_every_rung_is_trained_and_stored_in_order(trained: Trained) -> None:
    assert [t.card.ranker for t in trained.training.trained] == list(LADDER)
    assert [c.version for c in bundle.cards(NAME)] == [
        t.card.version for t in reversed(trained.training.trained)
    ]


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_rung_beats_popularity_and_the_heuristic(trained: Trained, name: str) -> None:
    training = trained.training
    rungs = {t.card.ranker: t for t in training.trained}
    assert training.lift(rungs[name], training.popularity).low > 0.3
    assert training.lift(rungs[name], rungs["heuristic"].evidence).low > 0.1
    assert rungs[name].card.metrics["auc"].low > 0.9


def test_the_best_is_chosen_on_validation_users_and_not_on_the_test(trained: Trained) -> None:
    training = trained.training
    assert training.best().card.ranker in LEARNED
    for chosen in LADDER:
        judged = [replace(t, validation_ndcg=float(t.card.ranker == chosen)) for t in training.trained]
        assert replace(training, trained=tuple(judged)).best().card.ranker == chosen


def test_the_validation_score_is_that_of_the_stored_ranker(trained: Trained) -> None:
    held = trained.training.data.validation
    for rung in trained.training.trained:
        scores = bundle.load(NAME, rung.card.version).ranker.score(held.features)
        assert rung.validation_ndcg == ndcg(ranking_of(held, scores)).mean()


def test_a_card_says_what_was_trained_on(trained: Trained) -> None:
    declared = recommender(NAME)
    split = trained.training.split
    for card in bundle.cards(NAME):
        assert card.recommender == card.feature_service == NAME
        assert card.feature_service_hash == declared.definition_hash
        assert card.feature_names == declared.feature_names
        assert (card.trained_from, card.trained_to) == (split.train[0], split.train[-1])
        assert card.as_of == AS_OF
        assert card.workspaces == (1,)
    assert split.test == (TEST_CUTOFF,)


@pytest.mark.parametrize("name", LADDER)
def test_the_stored_evidence_is_what_the_stored_ranker_earns(trained: Trained, name: str) -> None:
    training = trained.training
    version = next(t.card.version for t in training.trained if t.card.ranker == name)
    stored = bundle.load(NAME, version)
    test, validation = training.data.test, training.data.validation
    calibration = calibrate(stored.ranker.score(validation.features), validation.labels)
    again = evidence(test, stored.ranker.score(test.features), calibration)
    assert stored.card.metrics == again.intervals(training.seed)
    assert set(stored.card.metrics) == set(METRICS)


@pytest.mark.parametrize("name", LADDER)
def test_the_reference_holds_the_test_rows_as_they_were_ranked(trained: Trained, name: str) -> None:
    training = trained.training
    test = training.data.test
    version = next(t.card.version for t in training.trained if t.card.ranker == name)
    stored = bundle.load(NAME, version)
    reference = stored.reference()
    scores = stored.ranker.score(test.features)
    assert reference.column_names == [*test.feature_names, "score", "label", "position"]
    assert len(reference) == len(test.labels) < REFERENCE_ROWS
    np.testing.assert_array_equal(reference["score"], scores)
    np.testing.assert_array_equal(reference["label"], test.labels)
    np.testing.assert_array_equal(reference["position"], ranking_of(test, scores).positions)
    stored_features = np.stack([reference[name].to_numpy() for name in test.feature_names], axis=1)
    np.testing.assert_array_equal(stored_features, test.features)


def test_a_large_reference_keeps_the_heads_of_the_rankings(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "REFERENCE_ROWS", 400)
    test = trained.training.data.test
    reference = job._reference(test, test.popularity, seed=7)
    positions = np.asarray(reference["position"])
    assert len(reference) == 400
    assert (positions <= 10).sum() == np.minimum(test.group_sizes, 10).sum()


def test_the_same_seed_gives_the_same_metrics(own_trained: Trained) -> None:
    again = train(recommender(NAME), AS_OF)
    first = [(t.card.ranker, t.card.metrics, t.validation_ndcg) for t in own_trained.training.trained]
    assert [(t.card.ranker, t.card.metrics, t.validation_ndcg) for t in again.trained] == first
    assert len(bundle.versions(NAME)) == 2 * len(LADDER)


def test_one_rung_alone_and_the_steps_are_told(own_community: Path) -> None:
    told: list[str] = []
    training = train(recommender(NAME), AS_OF, ["logistic"], cutoffs=(3, 2), step=told.append)
    assert told == ["as-of joins", "training logistic"]
    assert [t.card.ranker for t in training.trained] == ["logistic"]
    assert training.best().card.version == bundle.versions(NAME)[0]
    assert (len(training.split.train), len(training.split.test)) == (3, 2)


def test_an_unknown_ranker_stops_before_anything_is_read_or_stored(empty_home: Path) -> None:
    with pytest.raises(RecommendError, match=r"no ranker named 'forest'"):
        train(recommender(NAME), AS_OF, ["heuristic", "forest"])
    assert not models_path().exists()
