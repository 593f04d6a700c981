"""Several workers at one address: a burst of connections does not stay with the one that took it."""

import time
from pathlib import Path

import pytest

from tests.serving.live_server import Server
from tests.serving.load import Load, answered, copy_of, service_on, workers_of

SECONDS = 4.0


@pytest.mark.slow
def test_two_workers_share_the_callers_of_a_crowd(server: Server, tmp_path: Path) -> None:
    with service_on(copy_of(server, tmp_path / "home"), more={"RECOMMEND_WORKERS": "2"}) as running:
        one, two = workers_of(running)
        load = Load(running, rate=float("inf"), callers=10)
        with load.running():
            time.sleep(SECONDS / 2)  # in which they have come apart
            before = [sum(p.cpu_times()[:2]) for p in (one, two)]
            time.sleep(SECONDS / 2)
            spent = [sum(p.cpu_times()[:2]) - b for p, b in zip((one, two), before, strict=True)]
    answered(load.seen)
    assert min(spent) > max(spent) / 4, f"seconds of the core: {spent}"
