"""kill -9 of the whole service under load: what it acknowledged is in the log, exactly once."""

import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.identity import Vault
from tests.serving.live_server import Server, launch, number
from tests.serving.log_rows import times

LIMIT = 10


class Load:
    """Callers that ask and act, and keep what was acknowledged."""

    def __init__(self) -> None:
        self.items: dict[str, int] = {}
        """Items by request id."""
        self.events: list[dict[str, Any]] = []

    @contextmanager
    def on(self, server: Server, callers: int = 4) -> Iterator[None]:
        """Traffic, until the service is gone."""
        threads = [threading.Thread(target=self._call, args=(server.http,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()

    def _call(self, http: httpx.Client) -> None:
        query = {"recommender": "channel_browser", "query": {"user_id": "U1"}, "limit": LIMIT}
        while True:
            try:
                answer = http.post("/v1/recommend", json=query).raise_for_status().json()
                self.items[answer["request_id"]] = len(answer["items"])
                event = {
                    "event_id": f"act on {answer['request_id']}",
                    "request_id": answer["request_id"],
                    "id": answer["items"][0]["id"],
                    "outcome": "join",
                }
                counts = http.post("/v1/outcomes", json={"events": [event]}).raise_for_status().json()
                assert counts["accepted"] == 1
                self.events.append(event)
            except httpx.TransportError:
                return


def kill(server: Server) -> None:
    """SIGKILL to every process of the service."""
    main = psutil.Process(server.process.pid)
    processes = [main, *main.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)
    server.process.wait(10)


@pytest.mark.slow
def test_a_killed_service_has_logged_all_that_it_acknowledged(server: Server, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(server.home, home, ignore=shutil.ignore_patterns("log"))
    load, delays = Load(), random.Random(3)
    for _ in range(3):
        running = launch(home).wait_until_ready()
        with load.on(running):
            time.sleep(delays.uniform(0.7, 2.5))
            kill(running)

    last = launch(home).wait_until_ready()
    again = last.http.post("/v1/outcomes", json={"events": load.events[-1000:]}).json()
    assert again["duplicates"] == len(load.events[-1000:]), "a restarted service knows them"
    assert last.terminate() == 0

    assert len(load.items) > 100
    with Vault(home / "vault.sqlite") as vault:
        workspace = vault.workspace("acme")
        acted = vault.pseudonyms(workspace, "event", [e["event_id"] for e in load.events]).tolist()
    shown, done = times(home / "log", IMPRESSIONS, "request_id"), times(home / "log", OUTCOMES, "event_id")
    assert {number(text): items for text, items in load.items.items()}.items() <= shown.items()
    assert set(shown.values()) == {LIMIT}, "nothing is there twice, or by half"
    assert set(acted) <= done.keys()
    assert set(done.values()) == {1}
