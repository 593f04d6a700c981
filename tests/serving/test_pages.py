"""Pages: together they are the whole ranking, in its order, and none repeats another."""

import pytest

from tests.serving.live_server import Row, Server, logged


def pages(server: Server, user: str, limit: int, **more: object) -> list[Row]:
    """All pages, to the last."""
    found = [server.recommend(user, limit=limit, **more)]
    while (token := found[-1]["next_page_token"]) is not None:
        found.append(server.recommend(user, limit=limit, page_token=token, **more))
        assert len(found) < 100
    return found


@pytest.mark.parametrize("user", ["U1", "U4"])
def test_the_pages_are_the_whole_ranking(server: Server, user: str) -> None:
    found = pages(server, user, 50, exclude=["C3"])
    items = [item for page in found for item in page["items"]]
    ids = [item["id"] for item in items]
    assert len(ids) == len(set(ids)) > 100
    assert "C3" not in ids
    assert [item["rank"] for item in items] == list(range(1, len(ids) + 1))
    scores = [item["score"] for item in items]
    if user == "U1":
        assert scores == sorted(scores, reverse=True)
    assert all(len(page["items"]) == 50 for page in found[:-1])
    first = server.recommend(user, limit=100, exclude=["C3"])
    assert ids[:100] == [item["id"] for item in first["items"]]


def test_a_token_is_good_for_whoever_asked_known_or_not(server: Server) -> None:
    token = server.recommend("a stranger", limit=3)["next_page_token"]
    assert server.recommend("a stranger", limit=3, page_token=token)["items"][0]["rank"] == 4
    for other in ("another stranger", "U1"):
        body = {"recommender": "channel_browser", "query": {"user_id": other}, "page_token": token}
        assert server.http.post("/v1/recommend", json=body).status_code == 422


def test_positions_go_on_in_the_log_and_say_what_was_shown_before(server: Server) -> None:
    first = server.recommend("U1", limit=5)
    second = server.recommend("U1", limit=5, page_token=first["next_page_token"])
    rows = logged("impressions", second["request_id"], 5)
    assert sorted(row["position"] for row in rows) == [6, 7, 8, 9, 10]
    before = {row["candidate_id"] for row in logged("impressions", first["request_id"], 5)}
    assert all(f'"shown": {sorted(before)}' in row["request"] for row in rows)


def test_a_token_is_good_for_its_query_only(server: Server) -> None:
    token = server.recommend("U1", limit=5)["next_page_token"]
    body = {"recommender": "channel_browser", "query": {"user_id": "U2"}, "page_token": token}
    answer = server.http.post("/v1/recommend", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/page_token"
    assert "next_page_token" in answer.json()["detail"]


def test_a_ranking_that_fits_on_one_page_has_no_other(server: Server) -> None:
    own = {"ids": ["C1", "C2", "C3"], "mode": "instead"}
    assert server.recommend("U1", limit=3, candidates=own)["next_page_token"] is None
    assert server.recommend("U1", limit=2, candidates=own)["next_page_token"] is not None
