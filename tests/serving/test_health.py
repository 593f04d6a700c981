"""Faults and health: what fails is said once, with since when, and so is that it works again."""

import logging
from pathlib import Path

import pytest

from feature_repo.clock import now
from feature_repo.errors import RecommendError
from serving.event_log import EventLog
from serving.faults import Faults
from serving.health import health
from tests.serving.live_server import Server


def test_a_fault_is_said_when_it_begins_when_it_changes_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("bentoml").propagate = True
    faults = Faults()
    faults.working("the store")
    for reason in ("gone", "gone", "slow"):
        faults.report("the store", RecommendError(reason))
    faults.working("the store")
    faults.working("the store")
    assert [r.getMessage() for r in caplog.records] == [
        "the store failed: gone",
        "the store failed: slow",
        "the store works again",
    ]


def test_since_is_when_a_part_came_into_its_state() -> None:
    faults, before = Faults(), now()
    faults.report("a part", RecommendError("gone"))
    (first,) = faults.parts()
    faults.report("a part", RecommendError("slow"))
    (second,) = faults.parts()
    assert before <= first.since == second.since <= now()
    assert second.defect == "slow"
    faults.working("a part")
    (third,) = faults.parts()
    assert third.since > first.since
    assert third.defect is None


def test_ready_is_that_all_parts_work(tmp_path: Path) -> None:
    faults = Faults()
    log = EventLog(tmp_path, faults)
    assert health(faults, log).ready
    with faults.watch("a part"):
        raise ValueError("first line\nsecond line")
    said = health(faults, log)
    assert not said.ready
    (part,) = [p for p in said.parts if p.part == "a part"]
    assert (part.state, part.detail) == ("failing", "ValueError: first line")
    with faults.watch("a part"):
        pass
    assert health(faults, log).ready
    log.close()


def test_the_service_tells_its_health(server: Server) -> None:
    server.recommend()
    said = server.http.get("/v1/health").json()
    states = {part["part"]: part["state"] for part in said["parts"]}
    assert states["the event log"] == "working"
    assert states["the event log's recovery"] == "working"
    assert said["unlogged_rows"] == 0
    assert said["ready"] == all(state == "working" for state in states.values())


def test_an_instant_of_a_request_for_which_there_is_nothing_is_no_fault(server: Server) -> None:
    def states() -> dict[str, str]:
        return {part["part"]: part["state"] for part in server.http.get("/v1/health").json()["parts"]}

    server.recommend()
    before = states()
    answer = server.recommend(as_of="2019-01-01T00:00:00Z", dry_run=True)
    assert answer["rung"] == "popularity"
    assert "nothing-known" in answer["warnings"]
    assert states() == before
