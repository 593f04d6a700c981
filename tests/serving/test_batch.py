"""POST /v1/recommend/batch: each request is answered as it would be alone."""

from datetime import UTC, datetime

import pytest

from serving.authentication import Caller, Gate
from serving.key_ring import KeyRing
from serving.problems import Problem
from tests.serving.live_server import Row, Server, logged

BROWSER = {"recommender": "channel_browser", "query": {"user_id": "U1"}, "limit": 3}


def batch(server: Server, *requests: Row) -> Row:
    answer = server.http.post("/v1/recommend/batch", json={"requests": list(requests)})
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found


def test_answers_stand_in_the_order_of_the_requests(server: Server) -> None:
    asked = [
        BROWSER | {"query": {"user_id": user}, "limit": n} for n, user in enumerate(("U1", "U2", "nobody"), 1)
    ]
    answers = batch(server, *asked)["answers"]
    alone = [server.recommend(r["query"]["user_id"], limit=r["limit"]) for r in asked]
    assert [a["answer"]["items"] for a in answers] == [a["items"] for a in alone]
    assert [a["answer"]["rung"] for a in answers] == ["heuristic", "heuristic", "popularity"]
    ids = {a["answer"]["request_id"] for a in answers}
    assert len(ids) == 3
    assert len(logged("impressions", answers[1]["answer"]["request_id"], 2)) == 2


def test_a_request_that_cannot_be_answered_leaves_the_others(server: Server) -> None:
    unknown, foreign = BROWSER | {"recommender": "nosuch"}, BROWSER | {"query": {"team_id": "T1"}}
    first, second, third = batch(server, unknown, BROWSER, foreign)["answers"]
    assert (first["answer"], first["problem"]["status"]) == (None, 404)
    assert (len(second["answer"]["items"]), second["problem"]) == (3, None)
    assert third["problem"]["errors"][0]["pointer"] == "#/query/team_id"


@pytest.mark.parametrize(
    ("requests", "pointer"),
    [
        ([], "#/requests"),
        ([BROWSER] * 51, "#/requests"),
        ([BROWSER, BROWSER | {"limit": 0}], "#/requests/1/limit"),
    ],
    ids=["none", "too many", "a wrong field"],
)
def test_a_batch_that_does_not_fit_is_refused_whole(
    server: Server, requests: list[Row], pointer: str
) -> None:
    answer = server.http.post("/v1/recommend/batch", json={"requests": requests})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_batch_counts_as_many_requests() -> None:
    at = [0]
    gate = Gate(KeyRing.__new__(KeyRing), lambda: datetime.now(UTC), lambda: at[0])
    caller = Caller("k", "acme", frozenset({"recommend"}), rate=10)
    gate.charge(caller, 6)
    with pytest.raises(Problem, match="Too many") as refused:
        gate.charge(caller, 6)
    assert refused.value.details.status == 429
    at[0] = 200_000_000  # two tokens later
    gate.charge(caller, 6)
    with pytest.raises(Problem) as refused:
        gate.charge(caller, 10)  # of 11, which no wait would make fewer
    assert refused.value.details.status == 422
    assert "at most as many in one batch" in refused.value.details.detail
    gate.charge(Caller(None, None, frozenset({"admin"})), 1_000_000)
