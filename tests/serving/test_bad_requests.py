"""Every wrong request is answered by problem details that name the field and the mend."""

import json
from typing import Any

import pytest

from tests.serving.live_server import Server

GOOD: dict[str, Any] = {"recommender": "channel_browser", "query": {"user_id": "U1"}}
EVENT: dict[str, Any] = {
    "event_id": "e1",
    "request_id": "0" * 25,
    "id": "C1",
    "outcome": "join",
}


def assert_refused(server: Server, path: str, body: Any, status: int, pointer: str | None) -> dict[str, Any]:
    """Assert a well-formed problem about one field, and answer it."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.http.post(path, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:problem-type:recommend:")
    assert problem["title"]
    if pointer is not None:
        assert pointer in [e["pointer"] for e in problem["errors"]]
        assert pointer.removeprefix("#/").split("/")[0] in problem["detail"]
        assert all(e["detail"] for e in problem["errors"])
    return problem


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"recommender": "nope"}, 404, "#/recommender"),
        ({"recommender": 7}, 422, "#/recommender"),
        ({"recommender": None}, 422, "#/recommender"),
        ({"recommender": "x" * 10_000}, 422, "#/recommender"),
        ({"limit": 0}, 422, "#/limit"),
        ({"limit": 10_000}, 422, "#/limit"),
        ({"limit": "10"}, 422, "#/limit"),
        ({"limit": True}, 422, "#/limit"),
        ({"limit": 1.5}, 422, "#/limit"),
        ({"query": {}}, 422, "#/query"),
        ({"query": "U1"}, 422, "#/query"),
        ({"query": {"team_id": "T1"}}, 422, "#/query/user_id"),
        ({"query": {"user_id": "U1", "team_id": "T1"}}, 422, "#/query/team_id"),
        ({"query": {"user_id": 17}}, 422, "#/query/user_id"),
        ({"query": {"user_id": ""}}, 422, "#/query/user_id"),
        ({"query": {"user_id": "x" * 10_240}}, 422, "#/query/user_id"),
        ({"query": {"a/b~c": "U1"}}, 422, "#/query/a~1b~0c"),
        ({"exclude": "C1"}, 422, "#/exclude"),
        ({"exclude": ["C1", 2]}, 422, "#/exclude/1"),
        ({"exclude": ["C1"] * 1001}, 422, "#/exclude"),
        ({"context": {"local_hour": 14}}, 422, "#/context/local_hour"),
        ({"context": {"local_hour": "noon"}}, 422, "#/context/local_hour"),
        ({"context": {"local_hour": 10**400}}, 422, "#/context/local_hour"),
        ({"as_of": "yesterday"}, 422, "#/as_of"),
        ({"as_of": 1_700_000_000}, 422, "#/as_of"),
        ({"as_of": "1999-12-31"}, 422, "#/as_of"),
        ({"as_of": "9999-12-31T23:59:59-23:00"}, 422, "#/as_of"),
        ({"workspace": "other"}, 400, "#/workspace"),
        ({"colour": "red"}, 422, "#/colour"),
    ],
)
def test_a_wrong_field_of_recommend(
    server: Server, change: dict[str, Any], status: int, pointer: str
) -> None:
    assert_refused(server, "/v1/recommend", GOOD | change, status, pointer)


@pytest.mark.parametrize("missing", ["recommender", "query"])
def test_a_missing_field(server: Server, missing: str) -> None:
    body = {k: v for k, v in GOOD.items() if k != missing}
    problem = assert_refused(server, "/v1/recommend", body, 422, f"#/{missing}")
    assert problem["detail"] == f"{missing}: is required: send it"


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/outcomes"])
@pytest.mark.parametrize(
    "body",
    [b"", b"recommender=x", b'{"recommender": "channel', b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 100_000],
)
def test_a_body_that_is_no_json(server: Server, path: str, body: bytes) -> None:
    assert_refused(server, path, body, 400, None)


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/outcomes"])
@pytest.mark.parametrize("body", [[], 7, "text", None])
def test_a_body_that_is_no_object(server: Server, path: str, body: Any) -> None:
    assert "object" in assert_refused(server, path, body, 422, None)["detail"]


def test_not_a_number_is_not_a_number(server: Server) -> None:
    body = json.dumps(GOOD | {"context": {"local_hour": float("nan")}}).encode()
    assert_refused(server, "/v1/recommend", body, 422, "#/context/local_hour")


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"request_id": "zzz"}, 400, "#/events/1/request_id"),
        ({"request_id": "f" * 25}, 400, "#/events/1/request_id"),
        ({"request_id": 12}, 422, "#/events/1/request_id"),
        ({"outcome": "Join the channel!"}, 422, "#/events/1/outcome"),
        ({"event_id": ""}, 422, "#/events/1/event_id"),
        ({"id": "x" * 257}, 422, "#/events/1/id"),
        ({"at": "noon"}, 422, "#/events/1/at"),
    ],
)
def test_a_wrong_field_of_outcomes(server: Server, change: dict[str, Any], status: int, pointer: str) -> None:
    problem = assert_refused(server, "/v1/outcomes", {"events": [EVENT, EVENT | change]}, status, pointer)
    assert not [e for e in problem["errors"] if e["pointer"].startswith("#/events/0")]


def test_too_many_or_no_events(server: Server) -> None:
    assert_refused(server, "/v1/outcomes", {"events": [EVENT] * 1001}, 422, "#/events")
    assert_refused(server, "/v1/outcomes", {"events": []}, 422, "#/events")


def test_a_body_of_a_hundred_megabytes_is_cut_off(server: Server) -> None:
    chunks = (b" " * 1_048_576 for _ in range(100))
    answer = server.http.post("/v1/recommend", content=chunks)
    assert answer.status_code == 413
    assert "at most" in answer.json()["detail"]


def test_an_unknown_path_and_a_wrong_method(server: Server) -> None:
    for answer, status in (
        (server.http.get("/v1/nothing"), 404),
        (server.http.get("/v1/recommend"), 405),
        (server.http.delete("/v1/recommenders"), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert "/v1/openapi.json" in answer.json()["detail"]
    assert server.http.get("/v1/recommend").headers["allow"] == "POST"


def test_nothing_of_a_refused_request_is_said_in_the_servers_log(server: Server) -> None:
    assert_refused(
        server, "/v1/recommend", GOOD | {"query": {"user_id": ["grace.hopper@example.org"]}}, 422, None
    )
    server.recommend("grace.hopper@example.org")
    assert "grace.hopper" not in server.said()
