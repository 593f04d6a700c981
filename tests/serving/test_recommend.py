"""POST /v1/recommend: what it answers, and what it logs."""

import math
from typing import Any

import numpy as np
import pytest

from feature_repo.catalog import recommender
from feature_repo.identity import Vault
from tests.serving.live_server import Server, eventually, logged, metric, offline
from training.rankers.heuristic import HeuristicRanker


def ids(server: Server, kind: str, raw: list[str]) -> list[int]:
    with Vault(server.home / "vault.sqlite") as vault:
        return [int(i) for i in vault.lookup(vault.workspace("acme"), kind, raw)]


def table_values(server: Server, user: int, channels: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The features of a user and channels as the offline tables have them, NaN where there is no row."""
    views = recommender("channel_browser").features
    columns: list[list[float]] = []
    for view in views:
        keys = [k for k in ("user_id", "channel_id") if k in offline(server.home, view.name)[0]]
        rows = {tuple(r[k] for k in keys): r for r in offline(server.home, view.name)}
        for feature in view.features:
            of = [rows.get(tuple({"user_id": user, "channel_id": c}[k] for k in keys)) for c in channels]
            columns.append([row[feature.name] if row else math.nan for row in of])
    return np.array(columns, np.float32).T


def test_items_are_the_best_of_all_candidates_by_the_tables_values(server: Server) -> None:
    declared = recommender("channel_browser")
    (user,) = ids(server, "user", ["U1"])
    row = next(r for r in offline(server.home, "channel_candidates") if r["user_id"] == user)
    candidates = list(dict.fromkeys(c for s in declared.sources for c in row[s.column][: s.quota]))
    ranker = HeuristicRanker(declared.heuristic, declared.feature_names)
    scores = ranker.score(table_values(server, user, candidates))
    best = [candidates[n] for n in np.argsort(-scores, kind="stable")[:15]]

    answer = server.recommend(limit=15)

    assert not answer["degraded"]
    assert answer["rung"] == "heuristic"
    assert ids(server, "channel", [item["id"] for item in answer["items"]]) == best
    assert [item["rank"] for item in answer["items"]] == list(range(1, 16))
    assert np.allclose([item["score"] for item in answer["items"]], np.sort(scores)[::-1][:15], atol=1e-5)
    for item, channel in zip(answer["items"], best, strict=True):
        assert item["sources"] == [s.column for s in declared.sources if channel in row[s.column][: s.quota]]


def test_the_log_has_the_served_values_and_rescoring_them_gives_the_answer(server: Server) -> None:
    declared = recommender("channel_browser")
    answer = server.recommend("U2", limit=7, as_of="2025-08-03T23:30:00-02:00")

    rows = sorted(logged("impressions", answer["request_id"], 7), key=lambda r: r["position"])

    (user,) = ids(server, "user", ["U2"])
    features = np.array([r["features"] for r in rows], np.float32)
    channels = ids(server, "channel", [item["id"] for item in answer["items"]])
    assert [r["candidate_id"] for r in rows] == channels
    assert np.array_equal(features, table_values(server, user, channels), equal_nan=True)
    rescored = HeuristicRanker(declared.heuristic, declared.feature_names).score(features)
    assert np.allclose(rescored, [r["score"] for r in rows], atol=1e-5)
    assert [r["score"] for r in rows] == [pytest.approx(item["score"]) for item in answer["items"]]
    assert {r["query_id"] for r in rows} == {user}
    assert {(r["recommender"], r["model_version"], r["rung"], r["variant"]) for r in rows} == {
        ("channel_browser", answer["model_version"], "heuristic", "champion")
    }
    assert {(r["propensity"], r["degraded"], r["context"]) for r in rows} == {(1.0, False, None)}
    assert {r["feature_service_hash"] for r in rows} == {declared.definition_hash}
    assert {f"{r['event_timestamp']:%Y-%m-%dT%H:%M}" for r in rows} == {"2025-08-04T01:30"}
    assert list((server.home / "log/impressions/day=2025-08-04").glob("*.parquet"))


def test_excluded_candidates_make_room_for_the_next(server: Server) -> None:
    first = [item["id"] for item in server.recommend(limit=10)["items"]]
    unwanted = [first[0], first[4], "never heard of"]
    second = [item["id"] for item in server.recommend(limit=8, exclude=unwanted)["items"]]
    assert second == [c for c in first if c not in unwanted]


@pytest.mark.parametrize("user", ["somebody new", "U4"], ids=["a stranger", "known, without candidates"])
def test_nobody_is_turned_away(server: Server, user: str) -> None:
    answer = server.recommend(user, limit=5, exclude=["C249"])
    assert [item["id"] for item in answer["items"]] == ["C250", "C248", "C247", "C246", "C245"]
    assert {tuple(item["sources"]) for item in answer["items"]} == {("channels",)}
    assert (answer["rung"], answer["degraded"]) == ("popularity", False)
    assert answer["model_version"] == server.recommend()["model_version"], "the version in service"
    rows = logged("impressions", answer["request_id"], 5)
    assert all(np.isnan(r["features"]).all() for r in rows)
    assert {len(r["features"]) for r in rows} == {len(recommender("channel_browser").feature_names)}


def test_a_recommender_without_rows_answers_empty_and_says_so(server: Server) -> None:
    answer = server.recommend(recommender="composer_dm")
    assert (answer["items"], answer["rung"], answer["degraded"]) == ([], "popularity", True)


def test_requests_are_counted_and_stages_timed(server: Server) -> None:
    labels = '{degraded="false",recommender="channel_browser",rung="heuristic"}'
    before = metric(server, f"recommend_requests_total{labels}")
    server.recommend()
    assert metric(server, f"recommend_requests_total{labels}") == before + 1
    stages = ("admit", "retrieve", "exclude", "hydrate", "score", "name", "log")
    names = [f'recommend_stage_seconds_count{{stage="{s}"}}' for s in stages]
    eventually(lambda: all(metric(server, name) >= before + 1 for name in names), 5)


def test_what_is_declared_and_serves_is_listed(server: Server) -> None:
    answer = server.http.get("/v1/recommenders").json()["recommenders"]
    by_name = {r["name"]: r for r in answer}
    browser, composer = by_name["channel_browser"], by_name["composer_dm"]
    assert browser["model_version"] == server.recommend()["model_version"]
    assert browser["since"] is not None
    assert (browser["query_key"], browser["candidate_key"], browser["outcome"]) == (
        "user_id",
        "channel_id",
        "join",
    )
    assert (composer["model_version"], composer["rung"], composer["since"]) == ("declared", "heuristic", None)


def test_health_is_answered(server: Server) -> None:
    assert server.http.get("/livez").status_code == 200
    assert server.http.get("/readyz").status_code == 200
