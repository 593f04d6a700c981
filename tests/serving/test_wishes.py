"""What a request may ask beyond a plain list, against brute force on the offline tables."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from feature_repo.catalog import recommender
from tests.serving.live_server import Row, Server, logged
from tests.serving.test_recommend import ids, table_values
from training.rankers.heuristic import HeuristicRanker

MEMBERS, MESSAGES = "channel_activity__members", "channel_activity__messages_30d"


def features(server: Server, user: str, channels: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of the offline tables for the channels, by feature."""
    (query,) = ids(server, "user", [user])
    values = table_values(server, query, ids(server, "channel", channels))
    return dict(zip(recommender("channel_browser").feature_names, values.T, strict=True))


def shown(answer: Row) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_a_filter_keeps_those_for_whom_it_holds_in_their_order(server: Server) -> None:
    everybody = shown(server.recommend(limit=100))
    columns = features(server, "U1", everybody)
    holds = (columns[MEMBERS] > 4) & ~np.isnan(columns["user_channel_affinity__comembership"])
    assert 5 < holds.sum() < 80
    text = f"{MEMBERS} > 4 and not is_missing(user_channel_affinity__comembership)"
    kept = shown(server.recommend(limit=100, filter=text))
    expected = [channel for channel, keep in zip(everybody, holds, strict=True) if keep]
    assert kept[: len(expected)] == expected, "candidates past the hundredth follow"


def test_a_boost_is_added_to_the_scores(server: Server) -> None:
    plain = {i["id"]: i["score"] for i in server.recommend(limit=100)["items"]}
    boosted = server.recommend(limit=20, boost=f"2 * coalesce({MEMBERS}, 0)")["items"]
    columns = features(server, "U1", [i["id"] for i in boosted])
    for item, members in zip(boosted, columns[MEMBERS], strict=True):
        if item["id"] in plain:
            extra = 0 if math.isnan(members) else 2 * members
            assert item["score"] == pytest.approx(plain[item["id"]] + extra, abs=1e-3)
    scores = [i["score"] for i in boosted]
    assert scores == sorted(scores, reverse=True)
    assert len({i["id"] for i in boosted} & set(plain)) > 5


def test_a_boost_that_no_score_can_be_adds_nothing(server: Server) -> None:
    plain = server.recommend()["items"]
    for boost in ("1e300", "-1e300", f"1e39 + 0 * coalesce({MEMBERS}, 0)", "3e38"):
        assert server.recommend(boost=boost)["items"] == plain


def test_candidates_of_the_callers_own_instead(server: Server) -> None:
    answer = server.recommend(candidates={"ids": ["C9", "C7", "nobody's", "C9"]}, exclude=["C7"])
    assert shown(answer) == ["C9"]
    assert answer["items"][0]["sources"] == ["caller"]
    assert answer["warnings"] == ["unknown-candidates"]


def test_own_candidates_of_whom_nothing_is_known_are_in_no_order(server: Server) -> None:
    asked: Row = {"candidates": {"ids": ["C9", "C7"]}, "dry_run": True}
    assert server.recommend(**asked)["warnings"] == []
    before_all = server.recommend(as_of="2025-06-01T00:00:00Z", **asked)
    assert (before_all["degraded"], before_all["warnings"]) == (False, ["nothing-known"])
    assert len({item["score"] for item in before_all["items"]}) == 1


def test_candidates_of_the_callers_own_beside_the_others(server: Server) -> None:
    everybody = server.recommend(limit=100)
    far = next(f"C{n}" for n in range(1, 251) if f"C{n}" not in shown(everybody))
    beside = {"ids": [far, shown(everybody)[0]], "mode": "also"}
    answer = server.recommend(limit=100, candidates=beside)
    sources = {i["id"]: i["sources"] for i in answer["items"]}
    assert sources[shown(everybody)[0]][-1] == "caller"
    assert len(sources[shown(everybody)[0]]) > 1


def test_caps_keep_the_first_of_each_value(server: Server) -> None:
    everybody = server.recommend(limit=100)["items"]
    answer = server.recommend(limit=100, caps={"source": 3})["items"]
    taken: Counter[str] = Counter()
    expected = []
    for item in everybody:
        taken[item["sources"][0]] += 1
        if taken[item["sources"][0]] <= 3:
            expected.append(item["id"])
    assert [i["id"] for i in answer][: len(expected)] == expected
    assert max(Counter(i["sources"][0] for i in answer).values()) == 3


def test_each_item_of_a_varied_list_is_the_best_trade_between_score_and_likeness(server: Server) -> None:
    declared, weight = recommender("channel_browser"), 0.7
    offered = [f"C{n}" for n in range(1, 121)]
    asked: Row = {"limit": 30, "candidates": {"ids": offered}}
    varied = shown(server.recommend(diversity=weight, **asked))
    assert varied != shown(server.recommend(**asked))
    (query,) = ids(server, "user", ["U1"])
    values = table_values(server, query, ids(server, "channel", offered))
    scores = HeuristicRanker(declared.heuristic, declared.feature_names).score(values)
    relevance = (1 - weight) * (scores - scores.min()) / (scores.max() - scores.min())
    vectors = values[:, [declared.feature_names.index(n) for n in declared.alike_by]]
    vectors = np.nan_to_num((vectors - np.nanmean(vectors, axis=0)) / np.nanstd(vectors, axis=0))
    norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)  # of whom nothing is known, nothing is alike
    cosine = vectors @ vectors.T / np.outer(norms, norms)
    places = [offered.index(channel) for channel in varied]
    for n, place in enumerate(places):
        likeness = cosine[:, places[:n]].max(axis=1) if n else np.zeros(len(offered))
        worth = relevance - weight * likeness
        left = np.delete(worth, places[:n])
        assert worth[place] >= left.max() - 1e-4, f"item {n + 1}"


def test_a_dry_run_answers_and_logs_nothing(server: Server) -> None:
    dry = server.recommend(limit=3, dry_run=True)
    wet = server.recommend(limit=3)
    assert dry["items"] == wet["items"]
    assert len(logged("impressions", wet["request_id"], 3)) == 3
    assert logged("impressions", dry["request_id"], 0) == []


def test_a_stranger_may_wish_too(server: Server) -> None:
    everybody = server.recommend("a stranger", limit=100)
    assert (everybody["rung"], everybody["warnings"]) == ("popularity", ["nothing-known"])
    values = features(server, "U1", shown(everybody))[MESSAGES]
    kept = shown(server.recommend("a stranger", limit=100, filter=f"{MESSAGES} > 5"))
    assert kept[:20] == [c for c, v in zip(shown(everybody), values, strict=True) if v > 5][:20]
    assert kept


def test_the_answer_says_what_it_was_and_how_long_it_took(server: Server) -> None:
    answer = server.recommend(limit=3)
    assert (answer["experiment"], answer["variant"], answer["warnings"]) == (None, "champion", [])
    assert [item["propensity"] for item in answer["items"]] == [1.0] * 3
    stages = [
        "admit",
        "retrieve",
        "exclude",
        "hydrate",
        "filter",
        "score",
        "discount",
        "boost",
        "order",
        "diversify",
        "name",
        "explore",
        "explain",
        "log",
    ]
    assert list(answer["timings_ms"]) == stages
    assert all(0 <= milliseconds < 1000 for milliseconds in answer["timings_ms"].values())


@pytest.mark.parametrize(
    ("more", "pointer", "said"),
    [
        ({"filter": "members > 3"}, "#/filter", "names `members`, which is not served: choose from"),
        ({"filter": MEMBERS}, "#/filter", "is a number, and a boolean is wanted"),
        ({"filter": "__import__('os')"}, "#/filter", "calls __import__"),
        ({"boost": f"{MEMBERS} > 1"}, "#/boost", "is a boolean, and a number is wanted"),
        (
            {"caps": {"colour": 2}},
            "#/caps/colour",
            "is no attribute of channel_browser: choose from source, ",
        ),
        ({"caps": {"source": 0}}, "#/caps/source", "greater than or equal to 1"),
        ({"diversity": 1.5}, "#/diversity", "less than or equal to 1"),
        ({"candidates": {"ids": []}}, "#/candidates/ids", "is empty: send at least one"),
        ({"candidates": {"ids": ["C1"], "mode": "only"}}, "#/candidates/mode", "'instead' or 'also'"),
        (
            {"recommender": "composer_dm", "diversity": 0.5},
            "#/diversity",
            "composer_dm declares no likeness: leave it out, or send 0",
        ),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_by_its_field(
    server: Server, more: dict[str, Any], pointer: str, said: str
) -> None:
    body = {"recommender": "channel_browser", "query": {"user_id": "U1"}} | more
    answer = server.http.post("/v1/recommend", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert said in error["detail"]
