"""Models that are damaged, refused, slow or wrong: the next rung of the ladder answers, and says so."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost

from feature_repo.catalog import recommender
from feature_repo.events import IMPRESSIONS
from feature_repo.recommender import Recommender
from serving.deadline import Deadline
from serving.draft import Candidates, Draft
from serving.explanation import explain
from serving.faults import Faults
from serving.pace import Pace
from serving.ranking import score
from serving.scorer import Scorer, declared_heuristic
from serving.wish import Wish
from tests.serving.live_server import Server, eventually, name_champion, number
from tests.serving.load import DEADLINE_MS, Load, Seen, copy_of, is_full, promised, service_on, sitecustomized
from tests.serving.log_rows import parquet
from tests.state_folder import state_folder
from training import bundle
from training.bundle import Card
from training.champion import champion, promote
from training.rankers import Matrix, Ranker
from training.rankers.logistic import LogisticRanker
from training.rankers.xgboost import XgboostRanker

NAME = "channel_browser"


@pytest.fixture
def home(server: Server, tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own: two heuristics of opposite order, one of them promoted."""
    with state_folder(copy_of(server, tmp_path / "home")) as own:
        yield own


def store(ranker: Ranker) -> Card:
    """A bundle of the ranker, like the one that is promoted."""
    serving = champion(NAME)
    assert serving is not None
    like = bundle.load(NAME, serving.version)
    return bundle.save(replace(like.card, ranker=ranker.name), ranker, like.reference())


def linear(folder: Path) -> LogisticRanker:
    """A linear ranker with any weights."""
    columns = 2 * len(recommender(NAME).feature_names)
    weights = np.random.default_rng(5).normal(size=columns)
    state = {"mean": [0.0] * columns, "scale": [1.0] * columns, "weights": weights.tolist(), "bias": 0.5}
    (folder / "logistic.json").write_text(json.dumps(state))
    return LogisticRanker.load(folder)


def few_trees() -> XgboostRanker:
    """Trees of any values."""
    names, draws = list(recommender(NAME).feature_names), np.random.default_rng(6)
    rows = xgboost.DMatrix(
        draws.normal(size=(200, len(names))), draws.integers(0, 2, 200), feature_names=names
    )
    return XgboostRanker.of(xgboost.train({"max_depth": 4, "nthread": 1}, rows, 20))


@pytest.mark.slow
@pytest.mark.parametrize("stands_in", ["logistic", "heuristic"])
def test_a_champion_that_is_damaged_at_the_start_has_the_best_that_is_left_stand_in(
    home: Path, tmp_path: Path, stands_in: str
) -> None:
    version = store(linear(tmp_path)).version if stands_in == "logistic" else "declared"
    serving = champion(NAME)
    assert serving is not None
    file = bundle.load(NAME, serving.version).folder / "heuristic.json"
    file.write_bytes(file.read_bytes()[:-20])
    with service_on(home) as running:
        load = Load(running)
        with load.running():
            load.lasting(2.0)
        assert f"bundle {NAME}:{serving.version} cannot be read" in running.said()
    promised(load.seen)
    assert {s.label for s in load.seen} == {(stands_in, True, frozenset({"model-unavailable"}))}
    assert {s.answer.model_version for s in load.seen} == {version}


@pytest.mark.slow
def test_promotions_back_and_forth_and_one_that_is_refused_drop_no_request_and_mix_no_answer(
    home: Path,
) -> None:
    serving = champion(NAME)
    assert serving is not None
    first = serving.version
    (second,) = [v for v in bundle.versions(NAME) if v != first]
    stored = bundle.load(NAME, first)
    names = (*stored.card.feature_names, "nowhere__nothing")
    strange = replace(stored.card, feature_names=names, feature_service_hash="0" * 16)
    refused = bundle.save(strange, stored.ranker, stored.reference())
    with service_on(home) as running:
        load = Load(running)
        with load.running():
            for n in range(40):
                promote(NAME, (second, first)[n % 2])
                time.sleep(0.3)
            assert champion(NAME).version == first  # type: ignore[union-attr]
            load.until(lambda s: s.answer.model_version == first, 10)
            name_champion(home, NAME, refused.version)
            eventually(lambda: f"{refused.tag} was trained on other features" in running.said(), 10)
            load.until(lambda s: s.answer.model_version == first, 10)
    promised(load.seen)
    assert all(map(is_full, load.seen))
    assert {s.answer.model_version for s in load.seen} == {first, second}
    orders = {(s.asker, s.answer.model_version, ranking(s)) for s in load.seen}
    assert len(orders) == 2 * len({s.asker for s in load.seen}), "an asker and a model make one order"
    logged = parquet(home / "log", IMPRESSIONS)
    ranked_by = set(zip(*(logged[c].to_pylist() for c in ("request_id", "model_version")), strict=True))
    assert {(number(s.answer.request_id), s.answer.model_version) for s in load.seen} == ranked_by


def ranking(seen: Seen) -> tuple[tuple[str, float], ...]:
    return tuple((item.id, item.score) for item in seen.answer.items)


@pytest.mark.slow
def test_a_model_that_takes_longer_than_there_is_time_gives_way_to_the_linear_one(
    home: Path, tmp_path: Path
) -> None:
    stored, endless = store(linear(tmp_path)), store(few_trees())
    slow = sitecustomized(tmp_path, "slow_ranker") | {"SLOW_RANKER": str(3 * DEADLINE_MS / 1000)}
    with service_on(home, more=slow) as running:
        load = Load(running)
        with load.running():
            load.lasting(1.0)
            promote(NAME, endless.version)
            eventually(lambda: f"is served by {endless.version}" in running.said(), 20)
            slow_ones = load.lasting(6.0)
            promote(NAME, stored.version)
            load.until(is_full, 20)
    promised(load.seen)
    labels = Counter(s.label for s in slow_ones)
    instead, overdue = (
        ("logistic", True, frozenset({"model-slow"})),
        ("heuristic", True, frozenset({"deadline", "cached-rows"})),
    )
    assert labels.keys() == {instead, overdue}
    assert labels[instead] > labels[overdue], "it is tried again only now and then"


class Fake:
    """A ranker that scores as it is told."""

    name = "xgboost"

    def __init__(self, scores: float | Exception, seconds: float = 0.0) -> None:
        self._scores, self._seconds, self.calls = scores, seconds, 0

    def score(self, features: Matrix) -> Matrix:
        """See `Ranker.score`."""
        self.calls += 1
        time.sleep(self._seconds)
        if isinstance(self._scores, Exception):
            raise self._scores
        return np.full(len(features), self._scores, np.float32)


def draft(declared: Recommender, ranker: Fake, deadline: float = 60.0) -> Draft:
    scorer = Scorer(ranker, "v1", None)  # type: ignore[arg-type]
    columns = len(declared.feature_names)
    return Draft(
        request_id=1,
        recommender=declared,
        scorer=scorer,
        lower=(declared_heuristic(declared),),
        workspace_id=1,
        instant=None,  # type: ignore[arg-type]
        limit=3,
        context={},
        query_id=7,
        excluded=frozenset(),
        rung=scorer.rung,
        model_version=scorer.model_version,
        deadline=Deadline.within(deadline),
        candidates=Candidates(np.arange(5), np.ones(5, np.uint64), ("a",)),
        features=np.random.default_rng(3).random((5, columns), np.float32),
    )


@pytest.mark.parametrize(
    "scores", [RuntimeError("no memory"), float("nan"), float("inf")], ids=["raises", "NaN", "infinite"]
)
def test_scores_that_fail_or_are_no_numbers_give_way_to_the_next_rung(scores: float | Exception) -> None:
    faults, declared = Faults(), recommender(NAME)
    asked = draft(declared, Fake(scores))
    ranked = score(faults, asked)
    assert (ranked.rung, ranked.model_version, ranked.degraded) == ("heuristic", "declared", True)
    assert ranked.warnings == ("model-failed",)
    expected = declared_heuristic(declared).ranker.score(asked.features)
    np.testing.assert_array_equal(ranked.scores, expected)
    (part,) = faults.parts()
    assert part.defect is not None
    score(faults, replace(asked, scorer=Scorer(Fake(1.0), "v2", None)))  # type: ignore[arg-type]
    assert faults.parts()[0].defect is None, "it works again"


def test_a_model_that_was_too_slow_is_passed_over_and_tried_again_when_that_has_faded() -> None:
    faults, ranker = Faults(), Fake(1.0, seconds=0.2)
    first = draft(recommender(NAME), ranker)
    pace = Pace(half_life=1.0)
    asked = replace(first, scorer=replace(first.scorer, pace=pace))
    assert score(faults, asked).rung == "xgboost", "there is time for it"
    assert pace.expected >= 0.2
    hurried = [score(faults, replace(asked, deadline=Deadline.within(0.15))) for _ in range(100)]
    assert {(h.rung, h.warnings) for h in hurried} == {("heuristic", ("model-slow",))}
    assert ranker.calls == 1, "however many requests pass it over"
    tried_again = time.monotonic() + 5
    while ranker.calls == 1:
        assert time.monotonic() < tried_again
        score(faults, replace(asked, deadline=Deadline.within(0.15)))
        time.sleep(0.02)


def test_reasons_that_cannot_be_given_are_left_out_and_reported() -> None:
    faults, asked = Faults(), draft(recommender(NAME), Fake(1.0))
    wanted = replace(asked, wish=Wish(explain=True), names=("a",) * 5)
    told = explain(faults, replace(wanted, scorer=declared_heuristic(asked.recommender)))
    assert len(told.reasons) == 5
    mute = explain(faults, wanted)  # this one has scores alone
    assert mute.reasons == ()
    assert [part.defect is not None for part in faults.parts()] == [True]
    assert explain(faults, asked) is asked, "nobody wants to know"


def test_the_last_rungs_error_is_the_callers_to_answer() -> None:
    broken = RuntimeError("no memory")
    alone = replace(draft(recommender(NAME), Fake(broken)), lower=())
    with pytest.raises(RuntimeError, match="no memory"):
        score(Faults(), alone)
