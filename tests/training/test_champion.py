"""Promotion: which version, what is refused, and that a reader never sees half a file."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from feature_repo.errors import RecommendError
from tests.community import NAME
from tests.conftest import Trained
from training import bundle
from training.champion import Champion, champion, champion_path, promote
from training.rankers import LADDER


@pytest.fixture
def versions(own_trained: Trained) -> dict[str, str]:
    """The stored version of each rung."""
    return {t.card.ranker: t.card.version for t in own_trained.training.trained}


def test_there_is_no_champion_before_the_first_promotion(versions: dict[str, str]) -> None:
    assert champion(NAME) is None


def test_a_version_is_promoted_and_the_one_before_is_recorded(versions: dict[str, str]) -> None:
    started = datetime.now(UTC)
    first = promote(NAME, versions["heuristic"])
    assert first == champion(NAME)
    assert (first.version, first.previous) == (versions["heuristic"], None)
    assert started <= first.promoted_at <= datetime.now(UTC)
    second = promote(NAME, versions["xgboost"])
    assert second == champion(NAME)
    assert (second.version, second.previous) == (versions["xgboost"], versions["heuristic"])


@pytest.mark.parametrize("ranker", LADDER)
def test_a_rankers_name_means_its_newest_version(versions: dict[str, str], ranker: str) -> None:
    assert promote(NAME, ranker).version == versions[ranker]
    stored = bundle.load(NAME, versions[ranker])
    newer = bundle.save(stored.card, stored.ranker, stored.reference())
    assert promote(NAME, ranker).version == newer.version


def test_latest_is_the_newest_of_all(versions: dict[str, str]) -> None:
    assert promote(NAME, "latest").version == versions[LADDER[-1]]


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        (NAME, "nosuch", r"no version 'nosuch' of channel_browser \(stored: \w+, \w+, \w+, \w+\)"),
        (
            "composer_dm",
            "latest",
            r"no version 'latest' of composer_dm .*`recommend train composer_dm` first",
        ),
        ("composer_dm", "xgboost", r"no version 'xgboost' of composer_dm"),
        ("nosuch", "latest", r"no recommender named 'nosuch': choose one of channel_browser, composer_dm"),
    ],
)
def test_the_unknown_is_named_with_the_known(
    versions: dict[str, str], name: str, version: str, message: str
) -> None:
    promote(NAME, "heuristic")
    with pytest.raises(RecommendError, match=message):
        promote(name, version)
    assert [p.name for p in champion_path(NAME).parent.iterdir()] == [f"{NAME}.json"]


def test_a_model_of_another_definition_is_refused_and_the_champion_stays(versions: dict[str, str]) -> None:
    before = promote(NAME, "heuristic")
    stored = bundle.load(NAME, versions["logistic"])
    other = bundle.save(
        replace(stored.card, feature_service_hash="0" * 16), stored.ranker, stored.reference()
    )
    with pytest.raises(RecommendError, match=f"{other.tag} was trained on other features.*train it again"):
        promote(NAME, other.version)
    assert champion(NAME) == before


def test_a_damaged_bundle_is_refused_and_the_champion_stays(versions: dict[str, str]) -> None:
    before = promote(NAME, "heuristic")
    (bundle.load(NAME, versions["xgboost"]).folder / "card.json").write_text("{")
    for version in (versions["xgboost"], "latest", "logistic"):
        with pytest.raises(RecommendError, match=f"{versions['xgboost']} cannot be read"):
            promote(NAME, version)
    assert champion(NAME) == before


def test_a_reader_never_sees_half_a_file(versions: dict[str, str]) -> None:
    promote(NAME, "heuristic")
    seen: list[Champion | None] = []
    damage: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                seen.append(champion(NAME))
            except ValueError as error:
                damage.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    rungs = [LADDER[n % 2] for n in range(20)]
    try:
        promoted = [promote(NAME, versions[rung]).version for rung in rungs]
    finally:
        stop.set()
        reader.join()
    assert not damage
    assert None not in seen
    assert {s.version for s in seen if s} <= set(promoted)
    assert [p.name for p in champion_path(NAME).parent.iterdir()] == [f"{NAME}.json"], "no draft is left"


def test_the_file_is_replaced_not_rewritten(versions: dict[str, str]) -> None:
    """Who has the old file open goes on reading the old one, whole."""
    promote(NAME, "heuristic")
    with champion_path(NAME).open() as old:
        promote(NAME, "xgboost")
        assert json.load(old)["version"] == versions["heuristic"]
