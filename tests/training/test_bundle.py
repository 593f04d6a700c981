"""A bundle comes back as it was stored, is told from others, and is refused where it is damaged."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.errors import RecommendError
from feature_repo.home import models_path
from tests.community import NAME
from tests.conftest import Trained
from training import bundle
from training.bundle import Card, Interval
from training.rankers import LADDER
from training.rankers.heuristic import HeuristicRanker

FEATURES = ("taste", "age")
REFERENCE = pa.table({"taste": [1.0, 2.0], "score": [0.5, 0.25], "label": [1, 0]})


def card(recommender: str = "songs", as_of: datetime = datetime(2025, 3, 4, 5, 6, tzinfo=UTC)) -> Card:
    return Card(
        recommender=recommender,
        ranker="heuristic",
        feature_service=recommender,
        feature_service_hash="0123456789abcdef",
        feature_names=FEATURES,
        trained_from=datetime(2025, 1, 1, tzinfo=UTC),
        trained_to=datetime(2025, 2, 1, tzinfo=UTC),
        as_of=as_of,
        workspaces=(1, 3),
        metrics={"ndcg@10": Interval(0.4, 0.3, 0.5), "auc": Interval(0.7, 0.6, float("nan"))},
    )


def save(recommender: str = "songs", weight: float = 2.0) -> Card:
    return bundle.save(card(recommender), HeuristicRanker({"taste": weight}, FEATURES), REFERENCE)


@pytest.fixture(autouse=True)
def _own_store(empty_home: Path) -> None:
    """Nothing is stored yet."""


def test_card_ranker_and_reference_come_back() -> None:
    saved = save()
    loaded = bundle.load("songs", saved.version)
    assert saved.version
    assert saved.tag == f"songs:{saved.version}"
    assert repr(loaded.card) == repr(saved), "repr, since a NaN equals nothing"
    matrix = np.array([[np.e - 1, 9], [0, 9]], np.float32)
    np.testing.assert_allclose(loaded.ranker.score(matrix), [2, 0], rtol=1e-6)
    assert loaded.reference().equals(REFERENCE)


def test_versions_and_cards_are_listed_newest_first() -> None:
    assert bundle.versions("songs") == []
    saved = [save().version for _ in range(3)]
    assert bundle.versions("songs") == saved[::-1]
    assert [c.version for c in bundle.cards("songs")] == saved[::-1]


def test_a_version_whose_save_was_cut_is_none() -> None:
    saved = save()
    for name, text in (("begun", None), ("cut", "name: songs\nversion:"), ("torn", "name: [")):
        (saved_at := bundle.load("songs", saved.version).folder.with_name(name)).mkdir()
        if text is not None:
            (saved_at / "model.yaml").write_text(text)
        with pytest.raises(RecommendError, match=f"no version '{name}' of songs .stored: {saved.version}."):
            bundle.load("songs", name)
    assert bundle.versions("songs") == [saved.version]


def test_two_recommenders_do_not_mix() -> None:
    songs, films = save("songs"), save("films", weight=-1)
    assert bundle.versions("songs") == [songs.version]
    assert [c.recommender for c in bundle.cards("films")] == ["films"]
    with pytest.raises(RecommendError, match=f"no version '{films.version}' of songs"):
        bundle.load("songs", films.version)


def test_an_unknown_version_names_the_known_ones() -> None:
    known = [save().version for _ in range(2)]
    with pytest.raises(RecommendError) as error:
        bundle.load("songs", "nosuch")
    assert str(error.value) == f"no version 'nosuch' of songs (stored: {known[1]}, {known[0]})"


def test_where_nothing_is_stored_the_training_command_is_named() -> None:
    with pytest.raises(RecommendError, match=r"stored: none: run `recommend train songs` first"):
        bundle.load("songs", "latest")


@pytest.mark.parametrize("version", ["", "a b", "../songs", "UPPER/case", "é", "x" * 500])
def test_what_cannot_be_a_version_is_an_unknown_one(version: str) -> None:
    save()
    with pytest.raises(RecommendError, match=r"^no version .* of songs \(stored: \w+\)$"):
        bundle.load("songs", version)


@pytest.mark.parametrize(
    "content", ["", '{"recommender": "so', "[]", '{"metrics": {}}'], ids=["empty", "cut", "list", "other"]
)
def test_a_damaged_card_is_one_line_that_names_the_others(content: str) -> None:
    good, bad = save().version, save().version
    (bundle.load("songs", bad).folder / "card.json").write_text(content)
    for read in (lambda: bundle.load("songs", bad), lambda: bundle.cards("songs")):
        with pytest.raises(RecommendError, match=f"bundle songs:{bad} cannot be read") as error:
            read()
        assert good in str(error.value)
        assert "\n" not in str(error.value)


def test_the_name_of_an_unknown_ranker_in_a_card_is_refused() -> None:
    saved = save()
    path = bundle.load("songs", saved.version).folder / "card.json"
    path.write_text(path.read_text().replace('"heuristic"', '"forest"'))
    with pytest.raises(RecommendError, match=r"no ranker named 'forest'"):
        bundle.load("songs", saved.version)


@pytest.mark.parametrize("name", LADDER)
def test_every_rung_cut_in_the_middle_is_refused_in_one_line(own_trained: Trained, name: str) -> None:
    version = next(t.card.version for t in own_trained.training.trained if t.card.ranker == name)
    folder = bundle.load(NAME, version).folder
    (model,) = folder.glob(f"{name}.*")
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    with pytest.raises(RecommendError, match=f"bundle {NAME}:{version} cannot be read") as error:
        bundle.load(NAME, version)
    assert "\n" not in str(error.value)


def test_a_ranker_that_cannot_be_written_leaves_no_bundle() -> None:
    class Full(HeuristicRanker):
        def save(self, folder: Path) -> None:
            super().save(folder)
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        bundle.save(card(), Full({"taste": 1.0}, FEATURES), REFERENCE)
    assert bundle.versions("songs") == []
    assert not list(models_path().rglob("heuristic.json"))
