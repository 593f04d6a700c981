"""Callers that are slow, too much, gone, or cut off by the service's own end: the others are served in time."""

import http.client
import json
import random
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.events import IMPRESSIONS
from tests.serving.live_server import Server, number
from tests.serving.load import Load, answered, copy_of, is_full, promised, service_on, worker_of
from tests.serving.log_rows import times

pytestmark = pytest.mark.slow

SLOW, TRICKLING = 900, 100
"""Clients that stop in the middle, and that send a byte at a time."""
BODY = json.dumps({"recommender": "channel_browser", "query": {"user_id": "U1"}, "limit": 10}).encode()
REQUEST = (
    b"POST /v1/recommend HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(BODY), BODY)
)
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def running(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of this module's own."""
    with service_on(copy_of(server, tmp_path_factory.mktemp("clients") / "home")) as own:
        yield own


def dial(server: Server) -> socket.socket:
    url = server.http.base_url
    return socket.create_connection((url.host, url.port), 20)


def received(connection: socket.socket) -> bytes:
    """All that comes until the end of the connection."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def test_a_thousand_slow_clients_hold_up_nobody(running: Server) -> None:
    draws = random.Random(4)
    load = Load(running)
    stopped = [dial(running) for _ in range(SLOW)]
    trickling = [dial(running) for _ in range(TRICKLING)]
    try:
        for client in stopped:
            client.sendall(REQUEST[: draws.randrange(1, len(REQUEST))])
        running.recommend(dry_run=True)  # answered once all of them have been accepted
        with load.running():
            load.lasting(1.0)
            for at in range(len(REQUEST) + TRICKLING):  # one begins, and so one ends, after the other
                for n, client in enumerate(trickling):
                    if 0 <= at - n < len(REQUEST):
                        client.sendall(REQUEST[at - n : at - n + 1])
                time.sleep(0.02)
            answers = [received(client) for client in trickling]
            load.until(is_full, 10)
    finally:
        for client in (*stopped, *trickling):
            client.close()
    promised(load.seen)
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    bodies = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    assert all(len(body["items"]) == 10 for body in bodies)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_a_hundred_megabytes_are_refused_early_and_kept_nowhere(running: Server, is_chunked: bool) -> None:
    worker, load = worker_of(running), Load(running)
    before = worker.memory_info().rss
    size = b"transfer-encoding: chunked" if is_chunked else b"content-length: %d" % (100 * MEGABYTE)
    head = (
        b"POST /v1/recommend HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n%s\r\n\r\n"
        % size
    )
    piece = bytes(MEGABYTE)
    with load.running(), dial(running) as client:
        client.sendall(head)
        sent = 0
        while sent < 100 and not select.select([client], [], [], 0)[0]:
            client.sendall(b"%x\r\n%s\r\n" % (MEGABYTE, piece) if is_chunked else piece)
            sent += 1
        answer = http.client.HTTPResponse(client)
        answer.begin()
        problem = json.loads(answer.read())
        load.lasting(1.0)
    promised(load.seen)
    assert answer.status == problem["status"] == 413
    assert "send at most" in problem["detail"]
    assert sent <= 20, "the answer came long before the end"
    assert worker.memory_info().rss - before < 32 * MEGABYTE


def test_clients_that_go_in_the_middle_leave_nothing_behind(running: Server) -> None:
    draws, load = random.Random(8), Load(running)
    worker = worker_of(running)
    open_before = worker.num_fds()
    with load.running():
        for _ in range(400):
            with dial(running) as client:
                client.sendall(REQUEST[: draws.choice((draws.randrange(1, len(REQUEST)), len(REQUEST)))])
                if draws.random() < 0.5:  # a reset instead of an end
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            time.sleep(0.01)
        load.until(is_full, 10)
    promised(load.seen)
    assert worker.num_fds() < open_before + 20, "their connections are closed"
    assert "Traceback" not in running.said()


def test_a_service_that_is_told_to_end_answers_what_it_has_accepted(server: Server, tmp_path: Path) -> None:
    home = copy_of(server, tmp_path / "home")
    with service_on(home) as running:
        load = Load(running, rate=120, callers=12)
        with load.running():
            load.lasting(2.0)
            running.process.send_signal(signal.SIGTERM)
            ended = running.process.wait(30)
            time.sleep(0.2)
    assert ended == 0
    whole = [s for s in load.seen if s.status == 200]
    others = [s for s in load.seen if s.status]
    assert others == whole, "whoever is answered at all is answered in full"
    answered(whole)
    shown = {number(s.answer.request_id): len(s.answer.items) for s in whole}
    assert times(home / "log", IMPRESSIONS, "request_id") == shown, (
        "every answer is in the log, and what is in the log was answered"
    )
