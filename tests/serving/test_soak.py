"""Hours in small: load at a steady rate, and afterwards no error, no growth, and every row once.

``RECOMMEND_SOAK_SECONDS`` says how long: at least 120, as the memory takes a minute to be warm.
"""

import http.client
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.identity import Vault
from serving.event_ids import REMEMBERED
from tests.serving.live_server import Server, number
from tests.serving.load import ASKERS, DEADLINE_MS, Load, Seen, answered, copy_of, service_on, worker_of
from tests.serving.log_rows import times

SECONDS = float(os.environ.get("RECOMMEND_SOAK_SECONDS", "600"))
MEASURED, SHARE = 10.0, 0.7
"""Seconds in which the capacity is measured, and the share of it that is asked for afterwards."""
WARM, WARM_SECONDS, MAY_GROW = 0.2, 60.0, 0.02
"""What is warm-up, as a share of the whole and at least in seconds; and by what share memory may grow after it."""


BATCH = 1000
"""Outcomes of one call."""


class Actors:
    """Callers that act on what they were shown, and keep what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[bytes] = []

    def fill(self, server: Server) -> None:
        """Tell as many outcomes as the service remembers, so that its memory of them does not grow any more."""
        shown = server.recommend(ASKERS[0], dry_run=True)
        told = {"request_id": shown["request_id"], "id": shown["items"][0]["id"], "outcome": "join"}
        for begin in range(0, REMEMBERED, BATCH):
            ids = [f"early act {n}" for n in range(begin, begin + BATCH)]
            answer = server.http.post("/v1/outcomes", json={"events": [told | {"event_id": i} for i in ids]})
            assert answer.json()["accepted"] == BATCH
            self.acknowledged += ids

    def act(self, connection: http.client.HTTPConnection, seen: Seen) -> None:
        """Tell the outcome of an answer."""
        shown: dict[str, Any] = json.loads(seen.body)
        event = {
            "event_id": f"act on {shown['request_id']}",
            "request_id": shown["request_id"],
            "id": shown["items"][0]["id"],
            "outcome": "join",
        }
        connection.request(
            "POST", "/v1/outcomes", json.dumps({"events": [event]}), {"content-type": "application/json"}
        )
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200 and json.loads(body)["accepted"] == 1:
            self.acknowledged.append(event["event_id"])
        else:
            self.refused.append(body)


@pytest.mark.slow
@pytest.mark.soak
def test_load_without_end_costs_neither_an_error_nor_memory_nor_a_row(server: Server, tmp_path: Path) -> None:
    assert SECONDS >= 2 * WARM_SECONDS, f"RECOMMEND_SOAK_SECONDS is {SECONDS:g}: set it to 120 or more"
    home, actors = copy_of(server, tmp_path / "home"), Actors()
    with service_on(home) as running:
        worker = worker_of(running)
        actors.fill(running)
        early = len(actors.acknowledged)
        most = Load(running, rate=float("inf"), then=actors.act)
        with most.running():
            time.sleep(MEASURED)
        load = Load(running, rate=SHARE * len(most.seen) / MEASURED, then=actors.act)
        memory: list[int] = []
        with load.running():
            begun = time.monotonic()
            while time.monotonic() < begun + SECONDS:
                time.sleep(1.0)
                memory.append(worker.memory_info().rss)
        assert running.terminate() == 0
    seen = most.seen + load.seen
    answered(seen)
    assert not actors.refused
    assert len(actors.acknowledged) - early == len(seen)

    tenth, begin = len(memory) // 10, int(max(WARM, WARM_SECONDS / SECONDS) * len(memory))
    warm, last = int(np.median(memory[begin:][:tenth])), int(np.median(memory[-tenth:]))
    took = np.sort([s.seconds for s in load.seen]) * 1000
    said = (
        f"{load.rate:.0f} requests a second, median {np.median(took):.1f} ms, 99.9 % within "
        f"{np.quantile(took, 0.999):.0f} ms, {(took > DEADLINE_MS).sum()} of {len(took)} late; "
        f"memory {warm >> 20} MB warm, {last >> 20} MB at the end; all along, in MB: "
        + " ".join(str(m >> 20) for m in memory[:: max(len(memory) // 60, 1)])
    )
    print(said)
    assert last <= warm * (1 + MAY_GROW), said

    with Vault(home / "vault.sqlite") as vault:
        acted = vault.pseudonyms(vault.workspace("acme"), "event", actors.acknowledged).tolist()
    shown = {number(s.answer.request_id): len(s.answer.items) for s in seen}
    assert times(home / "log", IMPRESSIONS, "request_id") == shown
    assert times(home / "log", OUTCOMES, "event_id") == dict.fromkeys(acted, 1)
