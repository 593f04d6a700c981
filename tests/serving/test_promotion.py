"""A promoted model serves without a restart; one that cannot serve is refused."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from feature_repo.catalog import recommender
from tests.serving.live_server import Server, eventually, name_champion
from training import bundle
from training.champion import champion, champion_path, promote

NAME = "channel_browser"


@pytest.fixture
def first(server: Server) -> Iterator[str]:
    """The version that serves; it serves again afterwards."""
    serving = champion(NAME)
    assert serving is not None
    yield serving.version
    promote(NAME, serving.version)
    eventually(lambda: serves(server, serving.version), 10)


def serves(server: Server, version: str) -> bool:
    return bool(server.recommend(limit=1)["model_version"] == version)


def ranking(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(item["id"], item["score"]) for item in answer["items"]]


def test_a_promotion_under_load_fails_and_mixes_no_request(server: Server, first: str) -> None:
    (second,) = [v for v in bundle.versions(NAME) if v != first]
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        body = {"recommender": NAME, "query": {"user_id": "U1"}}
        with httpx.Client(base_url=server.http.base_url, timeout=20) as client:
            while not stop.is_set():
                answers.append(client.post("/v1/recommend", json=body))

    callers = [threading.Thread(target=ask) for _ in range(3)]
    expected = {first: ranking(server.recommend())}
    for caller in callers:
        caller.start()
    try:
        eventually(lambda: len(answers) >= len(callers), 20)
        promote(NAME, second)
        eventually(lambda: serves(server, second), 20)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    expected[second] = ranking(server.recommend())

    assert {a.status_code for a in answers} == {200}
    seen = [a.json() for a in answers]
    assert {s["model_version"] for s in seen} == set(expected), "both models were seen at work"
    assert all(ranking(s) == expected[s["model_version"]] for s in seen)
    assert not any(s["degraded"] for s in seen)


def test_a_damaged_bundle_is_refused_once_and_the_old_one_goes_on(server: Server, first: str) -> None:
    declared = recommender(NAME)
    card = bundle.load(NAME, first).card
    damaged = bundle.save(card, bundle.load(NAME, first).ranker, bundle.load(NAME, first).reference())
    (bundle.load(NAME, damaged.version).folder / "heuristic.json").write_text("[1.0, ")
    name_champion(server.home, declared.name, damaged.version)
    eventually(lambda: f"bundle {damaged.tag} cannot be read" in server.said(), 10)

    answer = server.recommend()
    assert (answer["model_version"], answer["degraded"]) == (first, False)
    lines = [line for line in server.said().splitlines() if damaged.tag in line]
    assert len(lines) == 1
    assert f"{first} goes on serving" in lines[0]


def test_a_bundle_of_other_features_is_refused(server: Server, first: str) -> None:
    stored = bundle.load(NAME, first)
    other = bundle.save(
        replace(stored.card, feature_service_hash="0" * 16), stored.ranker, stored.reference()
    )
    name_champion(server.home, NAME, other.version)
    eventually(lambda: f"{other.tag} was trained on other features" in server.said(), 10)
    assert serves(server, first)


def test_a_champions_file_cut_in_the_middle_changes_nothing(server: Server, first: str) -> None:
    path = champion_path(NAME)
    path.write_text('{"recommender": "chan')
    eventually(lambda: "the champion's file cannot be read" in server.said(), 10)
    assert serves(server, first)
    path.unlink()
    eventually(lambda: server.recommend(limit=1)["model_version"] == "declared", 10)
