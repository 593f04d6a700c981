"""Why, and why not: against brute force over every pair of a user and a channel."""

from typing import Any

import numpy as np
import pytest

from feature_repo.catalog import recommender
from tests.serving.live_server import Row, Server, logged, offline
from tests.serving.small_home import CHANNELS, USERS
from tests.serving.test_recommend import ids, table_values
from training.rankers.heuristic import HeuristicRanker

FILTER = "channel_activity__members > 3"
EXCLUDED = ["C30", "C41", "C52", "C200"]
LIMIT = 10


def explain(server: Server, user: str, candidate: str, **more: Any) -> Row:
    body = {"recommender": "channel_browser", "query": {"user_id": user}, "candidate": candidate} | more
    answer = server.http.post("/v1/explain", json=body)
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found


def expected(server: Server, user: str) -> dict[str, tuple[str, int | None]]:
    """Verdict and rank of every channel, from the offline tables and the declaration."""
    declared = recommender("channel_browser")
    numbers = dict(zip(CHANNELS, ids(server, "channel", list(CHANNELS)), strict=True))
    (query,) = ids(server, "user", [user])
    rows = [r for r in offline(server.home, "channel_candidates") if r["user_id"] == query]
    popular = offline(server.home, "popular_channels")[0]["channels"]
    found = [c for s in declared.sources for c in rows[0][s.column][: s.quota]] if rows else popular
    candidates = list(dict.fromkeys(found))
    values = table_values(server, query, candidates)
    scores = HeuristicRanker(declared.heuristic, declared.feature_names).score(values)
    if not rows:  # nothing is known of them: the popular list, in its order
        scores = -np.arange(len(candidates), dtype=np.float32)
    members = values[:, declared.feature_names.index("channel_activity__members")]
    verdicts: dict[str, tuple[str, int | None]] = {}
    holding = [
        n for n, c in enumerate(candidates) if members[n] > 3 and c not in {numbers[x] for x in EXCLUDED}
    ]
    order = sorted(holding, key=lambda n: -scores[n])
    ranks = {candidates[n]: rank + 1 for rank, n in enumerate(order)}
    for channel, number in numbers.items():
        if number not in candidates:
            verdicts[channel] = ("not-retrieved", None)
        elif channel in EXCLUDED:
            verdicts[channel] = ("excluded", None)
        elif number not in ranks:
            verdicts[channel] = ("filtered", None)
        else:
            verdicts[channel] = ("shown" if ranks[number] <= LIMIT else "outranked", ranks[number])
    return verdicts


@pytest.mark.parametrize("user", USERS)
def test_the_verdict_on_every_channel_is_that_of_brute_force(server: Server, user: str) -> None:
    wish = {"filter": FILTER, "exclude": EXCLUDED, "limit": LIMIT}
    told = {c: explain(server, user, c, **wish) for c in CHANNELS}
    assert {c: (e["verdict"], e["rank"]) for c, e in told.items()} == expected(server, user)
    shown = [i["id"] for i in server.recommend(user, **wish)["items"]]
    assert sorted(shown, key=lambda c: told[c]["rank"]) == shown
    outranked = [e for e in told.values() if e["verdict"] == "outranked"]
    assert outranked
    assert {e["beaten_by"]["id"] for e in outranked} == {shown[-1]}
    assert all(e["beaten_by"]["score"] >= e["score"] for e in outranked)


def test_reasons_are_the_greatest_terms_of_the_score(server: Server) -> None:
    declared = recommender("channel_browser")
    ranker = HeuristicRanker(declared.heuristic, declared.feature_names)
    (query,) = ids(server, "user", ["U1"])
    items = server.recommend(limit=5, explain=True)["items"]
    values = table_values(server, query, ids(server, "channel", [i["id"] for i in items]))
    for item, row, terms in zip(items, values, ranker.contributions(values)[:, :-1], strict=True):
        best = [n for n in np.argsort(-terms, kind="stable")[:3] if terms[n] > 0]
        assert [r["feature"] for r in item["reasons"]] == [declared.feature_names[n] for n in best]
        assert [r["contribution"] for r in item["reasons"]] == pytest.approx(terms[best].tolist(), abs=1e-5)
        assert [r["value"] for r in item["reasons"]] == pytest.approx(row[best].tolist(), abs=1e-5)
        named = " and ".join(source.removeprefix("by_") for source in item["sources"])
        assert item["why"].startswith(f"found by {named}; ")
    plain = server.recommend(limit=5)["items"]
    assert all(i["reasons"] == [] and i["why"] is None for i in plain)


def test_what_beat_a_candidate_is_the_difference_of_their_terms(server: Server) -> None:
    declared = recommender("channel_browser")
    ranker = HeuristicRanker(declared.heuristic, declared.feature_names)
    (query,) = ids(server, "user", ["U1"])
    lower = server.recommend(limit=40)["items"][-1]["id"]
    told = explain(server, "U1", lower, limit=3)
    pair = ids(server, "channel", [lower, told["beaten_by"]["id"]])
    terms = ranker.contributions(table_values(server, query, pair))[:, :-1]
    ahead = terms[1] - terms[0]
    best = [n for n in np.argsort(-ahead, kind="stable")[:3] if ahead[n] > 0]
    assert [r["feature"] for r in told["beaten_by"]["ahead_by"]] == [declared.feature_names[n] for n in best]
    assert told["detail"] == f"ranked 40, and 3 items are shown: {told['beaten_by']['id']} is the last"


def test_caps_and_strangers_are_named(server: Server) -> None:
    items = server.recommend(limit=10, caps={"source": 100})["items"]
    firsts = [item["sources"][0] for item in items]
    second = next(item["id"] for n, item in enumerate(items) if firsts[n] in firsts[:n])
    assert explain(server, "U1", second, caps={"source": 1})["verdict"] == "capped"
    unknown = explain(server, "U1", "no channel of ours")
    assert (unknown["verdict"], unknown["stages"]) == ("unknown", [])


def test_caps_are_named_where_variety_is_asked_for_as_well(server: Server) -> None:
    wish = {"limit": 10, "caps": {"source": 1}, "diversity": 0.7}
    shown = {item["id"] for item in server.recommend(**wish)["items"]}
    assert 1 < len(shown) < 10, "the caps leave room"
    for channel in [item["id"] for item in server.recommend(limit=100)["items"]]:
        told = explain(server, "U1", channel, **wish)
        assert told["verdict"] == ("shown" if channel in shown else "capped")


def test_on_a_later_page_ranks_go_on_and_the_pages_before_are_named(server: Server) -> None:
    first = server.recommend(limit=4)
    page = {"limit": 4, "page_token": first["next_page_token"]}
    second = server.recommend(**page)["items"]
    before = explain(server, "U1", first["items"][0]["id"], **page)
    assert (before["verdict"], before["detail"]) == ("excluded", "a page before this one has shown it")
    told = [explain(server, "U1", item["id"], **page) for item in second]
    assert [(t["verdict"], t["rank"]) for t in told] == [("shown", n) for n in range(5, 9)]
    third = server.recommend(limit=9)["items"][-1]["id"]
    beaten = explain(server, "U1", third, **page)
    assert (beaten["verdict"], beaten["rank"], beaten["beaten_by"]["rank"]) == ("outranked", 9, 8)


def test_a_boost_is_a_reason_as_large_as_it_is(server: Server) -> None:
    members = recommender("channel_browser").feature_names.index("channel_activity__members")
    wish = {"boost": "100 + 0.5 * coalesce(channel_activity__members, 0)", "limit": 3}
    (query,) = ids(server, "user", ["U1"])
    for item in server.recommend(explain=True, **wish)["items"]:
        values = table_values(server, query, ids(server, "channel", [item["id"]]))
        boost = item["reasons"][0]  # nothing else raised it by a hundred
        assert boost["feature"] == "boost"
        assert boost["contribution"] == boost["value"]
        assert boost["value"] == pytest.approx(100 + 0.5 * float(np.nan_to_num(values[0, members])), abs=1e-3)
        assert explain(server, "U1", item["id"], **wish)["reasons"] == item["reasons"]


def test_who_gives_way_to_variety_is_told_so_and_nobody_else(server: Server) -> None:
    shown = [item["id"] for item in server.recommend(limit=5, diversity=0.7)["items"]]
    ranking = [item["id"] for item in server.recommend(limit=100)["items"]]
    last = max(ranking.index(channel) for channel in shown)
    assert last >= 5, "variety changed nothing, so that this shows nothing"
    for place, channel in enumerate(ranking):
        told = explain(server, "U1", channel, limit=5, diversity=0.7)
        expected = "shown" if channel in shown else "too-alike" if place < last else "outranked"
        assert (told["verdict"], told["beaten_by"] is None) == (expected, expected != "outranked")


def test_an_explanation_logs_nothing_and_counts_the_stages(server: Server) -> None:
    before = server.recommend(limit=2)
    told = explain(server, "U1", before["items"][0]["id"], limit=2)
    after = server.recommend(limit=2)
    assert told["verdict"] == "shown"
    assert [s["stage"] for s in told["stages"]] == list(before["timings_ms"])[1:]
    assert told["stages"][-1]["candidates"] == 2
    assert len(logged("impressions", after["request_id"], 2)) == 2
