"""The client against the live service, and against a server that answers by a script."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from serving.client import ApiError, AsyncClient, Client, Settings
from serving.contract import OutcomeEvent, RecommendRequest, RecommendResponse
from tests.serving.live_server import Server, logged

PATIENT = Settings(timeout=2, attempts=4, first_wait=0.01, longest_wait=0.05)
NO_RECOMMENDERS = (200, b'{"recommenders": []}', {})
PROBLEM = b'{"type": "urn:x", "title": "Too many", "status": 429, "detail": "wait"}'
BROWSER = RecommendRequest(recommender="channel_browser", query={"user_id": "U1"}, limit=2)
DRY = BROWSER.model_copy(update={"dry_run": True})
EVENT = OutcomeEvent(event_id="e1", request_id="0" * 25, id="C1", outcome="join")


@contextmanager
def scripted(*answers: tuple[int, bytes, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers one after the other, the last one for ever; and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body, headers = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path} {self.headers.get('authorization')}")
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_the_whole_exchange_with_the_live_service(server: Server) -> None:
    with Client(str(server.http.base_url)) as client:
        names = [r.name for r in client.recommenders().recommenders]
        answer = client.recommend("channel_browser", {"user_id": "U1"}, limit=3)
        shown = answer.items[0]
        event = OutcomeEvent(
            event_id=f"client {answer.request_id}", request_id=answer.request_id, id=shown.id, outcome="join"
        )
        counts = client.outcomes([event])
        again = client.outcomes([event])
    assert "channel_browser" in names
    assert (answer.recommender, len(answer.items), shown.rank) == ("channel_browser", 3, 1)
    assert (counts.accepted, again.accepted, again.duplicates) == (1, 0, 1)
    assert len(logged("impressions", answer.request_id, 3)) == 3


def test_the_same_with_asyncio(server: Server) -> None:
    async def ask() -> tuple[list[str], int]:
        async with AsyncClient(str(server.http.base_url)) as client:
            answers = await asyncio.gather(
                *(client.recommend("channel_browser", {"user_id": u}, limit=2) for u in ("U1", "U2", "U1"))
            )
            first = answers[0]
            event = OutcomeEvent(
                event_id=first.request_id, request_id=first.request_id, id=first.items[0].id, outcome="join"
            )
            assert (await client.outcomes([event])).accepted == 1
            return [a.rung for a in answers], len((await client.recommenders()).recommenders)

    assert asyncio.run(ask()) == (["heuristic"] * 3, 2)


def test_a_batch_has_answers_and_problems_in_their_places(server: Server) -> None:
    nosuch = BROWSER.model_copy(update={"recommender": "nosuch"})
    with Client(str(server.http.base_url)) as client:
        right, wrong = client.recommend_batch([BROWSER, nosuch.model_dump(exclude_unset=True)]).answers
    assert right.answer is not None
    assert right.problem is None
    assert [item.rank for item in right.answer.items] == [1, 2]
    assert len(logged("impressions", right.answer.request_id, 2)) == 2
    assert wrong.answer is None
    assert wrong.problem is not None
    assert wrong.problem.status == 404


def test_an_explanation_is_of_the_answer_that_would_be_given(server: Server) -> None:
    with Client(str(server.http.base_url)) as client:
        shown = client.recommend("channel_browser", {"user_id": "U1"}, limit=2).items
        told = client.explain("channel_browser", {"user_id": "U1"}, shown[1].id, limit=1)
    assert (told.verdict, told.rank, told.score) == ("outranked", 2, pytest.approx(shown[1].score))
    assert told.beaten_by is not None
    assert told.beaten_by.id == shown[0].id


def test_health_names_the_parts(server: Server) -> None:
    with Client(str(server.http.base_url)) as client:
        client.recommend("channel_browser", {"user_id": "U1"})
        parts = {p.part: p.state for p in client.health().parts}
    assert parts["the event log"] == "working"


def test_batches_explanations_and_health_with_asyncio(server: Server) -> None:
    async def ask() -> tuple[int, str, bool]:
        async with AsyncClient(str(server.http.base_url)) as client:
            batch, told, health = await asyncio.gather(
                client.recommend_batch([BROWSER] * 3),
                client.explain("channel_browser", {"user_id": "U1"}, "no channel of ours"),
                client.health(),
            )
            return sum(a.answer is not None for a in batch.answers), told.verdict, bool(health.parts)

    assert asyncio.run(ask()) == (3, "unknown", True)


def test_the_workspace_goes_with_every_request(server: Server) -> None:
    """There is no such workspace, and each refusal names the field."""
    elsewhere = {"workspace": "acme"}
    url = str(server.http.base_url)
    with Client(url, workspace="nowhere") as client:
        (one,) = client.recommend_batch([BROWSER]).answers
        (other,) = client.recommend_batch([BROWSER.model_copy(update=elsewhere)]).answers
        calls = (
            lambda: client.recommend("channel_browser", {"user_id": "U1"}),
            lambda: client.explain("channel_browser", {"user_id": "U1"}, "C1"),
            lambda: client.outcomes([EVENT]),
        )
        for call in calls:
            with pytest.raises(ApiError, match=r"400 .*workspace: is not known here"):
                call()
        assert client.outcomes([EVENT], **elsewhere).dropped == 0
    assert one.problem is not None
    assert one.problem.errors[0].pointer == "#/workspace"
    assert other.answer is not None


def test_a_refusal_is_the_problem_that_the_service_gave(server: Server) -> None:
    with (
        Client(str(server.http.base_url)) as client,
        pytest.raises(ApiError, match=r"404 .*channel_browser") as said,
    ):
        client.recommend("nosuch", {"user_id": "U1"})
    assert said.value.problem.errors[0].pointer == "#/recommender"


def test_what_does_not_fit_the_contract_is_not_sent() -> None:
    with scripted(NO_RECOMMENDERS) as (url, asked), Client(url) as client:
        with pytest.raises(ValidationError, match="limit"):
            client.recommend("channel_browser", {"user_id": "U1"}, limit=0)
        with pytest.raises(ValidationError, match="colour"):
            client.recommend("channel_browser", {"user_id": "U1"}, colour="red")
    assert asked == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_does_no_harm_twice_is_sent_again(status: int) -> None:
    with (
        scripted((status, b"<html>", {}), (status, PROBLEM, {}), NO_RECOMMENDERS) as (url, asked),
        Client(url, key="rk_x", settings=PATIENT) as client,
    ):
        assert client.recommenders().recommenders == []
    assert asked == ["GET /v1/recommenders Bearer rk_x"] * 3


ONCE = {
    "a recommendation": lambda client: client.recommend("channel_browser", {"user_id": "U1"}),
    "a batch": lambda client: client.recommend_batch([BROWSER]),
    "a batch with a dry run": lambda client: client.recommend_batch([BROWSER, DRY]),
}
AGAIN = {
    "outcomes": lambda client: client.outcomes([EVENT]),
    "an explanation": lambda client: client.explain("channel_browser", {"user_id": "U1"}, "C1"),
    "health": lambda client: client.health(),
    "recommenders": lambda client: client.recommenders(),
    "a dry run": lambda client: client.recommend("channel_browser", {"user_id": "U1"}, dry_run=True),
    "a batch of dry runs": lambda client: client.recommend_batch([DRY, DRY]),
}


@pytest.mark.parametrize(
    ("ask", "attempts"),
    [pytest.param(ask, 1, id=name) for name, ask in ONCE.items()]
    + [pytest.param(ask, PATIENT.attempts, id=name) for name, ask in AGAIN.items()],
)
def test_what_would_be_logged_twice_is_not_sent_again(ask: Callable[[Any], Any], attempts: int) -> None:
    broken = (500, PROBLEM, {})
    with scripted(broken) as (url, asked), Client(url, settings=PATIENT) as client:
        with pytest.raises(ApiError):
            ask(client)
        assert len(asked) == attempts

    async def alike() -> None:
        async with AsyncClient(url, settings=PATIENT) as client:
            await ask(client)

    with scripted(broken) as (url, asked):
        with pytest.raises(ApiError):
            asyncio.run(alike())
        assert len(asked) == attempts


def test_a_recommendation_that_was_refused_is_asked_for_again() -> None:
    answer = RecommendResponse(
        request_id="0" * 25,
        recommender="r",
        model_version="v",
        rung="heuristic",
        experiment=None,
        variant="champion",
        degraded=False,
        warnings=[],
        timings_ms={},
        items=[],
    )
    with (
        scripted((429, PROBLEM, {"retry-after": "0"}), (200, answer.model_dump_json().encode(), {})) as (
            url,
            asked,
        ),
        Client(url, settings=PATIENT) as client,
    ):
        assert client.recommend("r", {"user_id": "U1"}).items == []
    assert len(asked) == 2


def test_the_wait_that_the_service_asks_for_is_kept_within_reason() -> None:
    policy = Settings(longest_wait=1.5)
    with (
        scripted((429, PROBLEM, {"retry-after": "3600"}), NO_RECOMMENDERS) as (url, asked),
        Client(url, settings=policy) as client,
    ):
        client.recommenders()
    assert len(asked) == 2


def test_a_server_that_is_not_there_is_tried_and_then_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with Client(url, settings=PATIENT) as client, pytest.raises(httpx.ConnectError):
            client.recommend("r", {"user_id": "U1"})


def test_a_wrong_request_is_not_sent_again() -> None:
    with (
        scripted((422, PROBLEM.replace(b"429", b"422"), {})) as (url, asked),
        Client(url, settings=PATIENT) as client,
        pytest.raises(ApiError, match="422"),
    ):
        client.recommenders()
    assert len(asked) == 1
