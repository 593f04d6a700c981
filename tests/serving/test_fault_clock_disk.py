"""The wall clock jumps, or the log's disk is full, in the middle of load: answers go on."""

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feature_repo.events import IMPRESSIONS, OUTCOMES
from tests.serving.live_server import Server, eventually, number
from tests.serving.load import Load, copy_of, is_full, promised, service_on, sitecustomized
from tests.serving.log_rows import parquet, times

pytestmark = pytest.mark.slow

START = datetime(2025, 8, 3, 12, tzinfo=UTC)
"""The clock's first instant: `small_home` knows of a snapshot two days older, which holds for eight."""
DISK = "8m"


@pytest.fixture
def clock(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file that says how many seconds a service's wall clock is ahead, and the environment in which it does."""
    ahead, shifted = tmp_path / "ahead", sitecustomized(tmp_path, "shifted_clock")
    return ahead, shifted | {"SHIFTED_CLOCK": str(ahead), "RECOMMEND_AS_OF": ""}


def jump(ahead: Path, to: datetime) -> None:
    """Have the clock show another instant now."""
    draft = ahead.with_suffix(".draft")
    draft.write_text(f"{(to - datetime.now(UTC)).total_seconds():+.0f}")
    draft.replace(ahead)


def test_a_clock_that_jumps_by_a_day_neither_stops_nor_spoils_an_answer(
    server: Server, tmp_path: Path, clock: tuple[Path, dict[str, str]]
) -> None:
    ahead, environment = clock
    jump(ahead, START)
    home = copy_of(server, tmp_path / "home")
    with service_on(home, more=environment) as running:
        load = Load(running)
        with load.running():
            begun = load.lasting(2.0)
            jump(ahead, START - timedelta(days=1))
            back = load.lasting(3.0)
            counted = act(running, begun[-1].answer.request_id, begun[-1].answer.items[0].id)
            jump(ahead, START + timedelta(days=1))
            forth = load.lasting(3.0)
            jump(ahead, START)
            load.lasting(2.0)
        assert running.terminate() == 0
    promised(load.seen)
    assert all(map(is_full, load.seen))
    assert counted["accepted"] == 1, "an outcome from before its own answer is no later for that"
    rows = parquet(home / "log", IMPRESSIONS)
    assert Counter(rows["request_id"].to_pylist()) == {
        number(s.answer.request_id): len(s.answer.items) for s in load.seen
    }
    at = dict(zip(*(rows[c].to_pylist() for c in ("request_id", "event_timestamp")), strict=True))
    days = [{at[number(s.answer.request_id)].day for s in some} for some in (begun, back[5:], forth[5:])]
    assert days == [{3}, {2}, {4}], "the clock of the answers has jumped"
    assert len(times(home / "log", OUTCOMES, "event_id")) == 1


def act(server: Server, request_id: str, item: str) -> dict[str, Any]:
    event = {"event_id": "act", "request_id": request_id, "id": item, "outcome": "join"}
    answer = server.http.post("/v1/outcomes", json={"events": [event]})
    assert answer.status_code == 200, answer.text
    counts: dict[str, Any] = answer.json()
    return counts


@pytest.fixture
def small_disk(server: Server, tmp_path: Path) -> Iterator[Path]:
    """A state folder whose log lies on a disk of a few megabytes."""
    home = copy_of(server, tmp_path / "home")
    (home / "log").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(home / "log")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system: run as root")
    yield home
    subprocess.run(["umount", "--lazy", str(home / "log")], check=True)


def test_a_full_disk_is_said_and_waited_for_while_answers_go_on(small_disk: Path) -> None:
    ballast = small_disk / "log" / "ballast"
    with service_on(small_disk) as running:
        load = Load(running, rate=20)
        with load.running():
            load.lasting(1.5)
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            eventually(lambda: "No space left" in log_defect(running), 10)
            load.lasting(4.0)
            said = health(running)
            assert not said["ready"]
            assert said["waiting_rows"] > 0
            last = load.seen[-1].answer
            assert act(running, last.request_id, last.items[0].id)["dropped"] == 1, "its sender is told"
            ballast.unlink()
            eventually(lambda: not log_defect(running), 15, lambda: str(health(running)))
            assert act(running, last.request_id, last.items[0].id)["accepted"] == 1
            load.lasting(1.0)
        said = health(running)
        assert (said["waiting_rows"], said["unlogged_rows"]) == (0, 1), (
            "the outcome that its sender sent again"
        )
        assert running.terminate() == 0
    promised(load.seen)
    assert all(map(is_full, load.seen))
    shown = {number(s.answer.request_id): len(s.answer.items) for s in load.seen}
    assert times(small_disk / "log", IMPRESSIONS, "request_id") == shown
    assert set(times(small_disk / "log", OUTCOMES, "event_id").values()) == {1}


def log_defect(server: Server) -> str:
    """Why the log fails; empty while it works."""
    parts = health(server)["parts"]
    return "; ".join(part["detail"] or "" for part in parts if part["part"] == "the event log")


def health(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get("/v1/health").json()
    return found
