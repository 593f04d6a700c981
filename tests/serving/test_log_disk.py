"""A disk that is full, hangs or refuses: answers go on, nothing that was acknowledged is lost, and it heals."""

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.events import IMPRESSIONS, OUTCOMES
from serving.event_log import EventLog, Settings
from serving.event_log.group_commit import Entry, GroupCommit
from serving.event_log.segment import Segment
from serving.faults import Faults
from serving.health import health
from tests.serving.live_server import eventually
from tests.serving.log_rows import impressions, outcomes, times

QUICK = Settings(rotate_seconds=0.05, retry_seconds=0.05, rotate_share=1.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system: run as root, or see the test of the size limit")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_waited_for_and_heals(small_disk: Path) -> None:
    faults = Faults()
    log = EventLog(small_disk, faults, QUICK)
    assert log.append(IMPRESSIONS, impressions(0)).result(5)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass

    waiting = [log.append(IMPRESSIONS, impressions(n)) for n in range(1, 40)]
    eventually(lambda: not health(faults, log).ready, 5)
    assert log.append_synced(OUTCOMES, outcomes([1])).result(5) is False, "its sender is told"
    said = health(faults, log)
    assert any("No space left" in (part.detail or "") for part in said.parts)
    assert said.waiting_rows > 0
    started = time.monotonic()
    asyncio.run(log.settled())
    assert time.monotonic() - started < 0.01, "a disk that is known to refuse is not waited for"

    ballast.unlink()
    assert all(done.result(5) for done in waiting), "they were kept, and written when the disk took them"
    assert log.append_synced(OUTCOMES, outcomes([2])).result(5)
    eventually(lambda: health(faults, log).ready, 5)
    log.close()
    assert times(small_disk, IMPRESSIONS, "request_id") == dict.fromkeys(range(40), 10)
    assert set(times(small_disk, OUTCOMES, "event_id")) == {2}
    assert (log.waiting_rows, log.unlogged_rows) == (0, 1)


def test_a_size_limit_in_the_middle_of_a_write_leaves_no_half_of_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults(), Settings(rotate_seconds=60, retry_seconds=0.05))
    assert log.append(IMPRESSIONS, impressions(1)).result(5)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (segment,) = tmp_path.rglob("*.wal")
    size = segment.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
    try:
        refused = log.append_synced(OUTCOMES, outcomes(range(100))).result(5)
        after = segment.stat().st_size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not refused
    assert after == size, "the thousand bytes that fitted were taken back"
    assert log.append(IMPRESSIONS, impressions(2)).result(5)
    log.close()
    assert times(tmp_path, IMPRESSIONS, "request_id") == {1: 10, 2: 10}
    assert not times(tmp_path, OUTCOMES, "event_id")


def test_when_too_much_waits_rows_are_dropped_at_once_and_counted(tmp_path: Path) -> None:
    root, faults = tmp_path / "log", Faults()
    root.write_text("a file where the folder should be")
    log = EventLog(root, faults, Settings(retry_seconds=0.05, backlog_bytes=50_000))
    taken = [log.append(IMPRESSIONS, impressions(n)) for n in range(30)]
    dropped = [n for n, done in enumerate(taken) if done.done() and not done.result()]
    assert 0 < len(dropped) < 30
    assert dropped == list(range(dropped[0], 30)), "the first that came are kept"
    assert log.unlogged_rows == 10 * len(dropped)
    root.unlink()
    kept = [done.result(5) for n, done in enumerate(taken) if n not in dropped]
    assert all(kept)
    log.close()
    assert set(times(root, IMPRESSIONS, "request_id")) == set(range(dropped[0]))


def test_a_day_whose_folder_is_blocked_is_said_once_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("bentoml").propagate = True
    (tmp_path / "outcomes").write_text("a file where the table's folder should be")
    log = EventLog(tmp_path, Faults(), QUICK)
    assert log.append_synced(OUTCOMES, outcomes([1, 2])).result(5), "it is in its segment"
    eventually(lambda: "the event log's Parquet files failed" in caplog.text, 5)
    time.sleep(0.2)  # some more tries
    assert caplog.text.count("the event log's Parquet files failed") == 1
    log.close()
    (tmp_path / "outcomes").unlink()
    EventLog(tmp_path, Faults()).close()
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1, 2: 1}


def test_a_disk_that_hangs_holds_an_answer_for_its_budget_and_no_longer(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.write(write_end, bytes(4096))  # from here on a write(2) blocks until somebody reads

    class Hanging(Segment):
        def sync(self) -> None:
            """A pipe has no disk to sync to."""

    closed: list[Segment] = []
    commit = GroupCommit(Settings(), Faults(), lambda: Hanging(tmp_path / "1.wal", write_end), closed.append)
    rows = impressions(1)
    entry = Entry(IMPRESSIONS.name, rows.schema, memoryview(rows.serialize()), 10, synced=False, kept=True)
    started = time.monotonic()
    commit.append(entry)
    took_to_append = time.monotonic() - started
    time.sleep(0.1)
    assert took_to_append < 0.05
    assert not entry.done.done()
    assert commit.waiting_rows == 10
    while not entry.done.done():
        os.read(read_end, 4096)
    assert entry.done.result()
    commit.close()
    assert len(closed) == 1
    os.close(read_end)
    os.close(write_end)


def test_an_answer_waits_for_its_write_and_with_sync_answers_for_its_sync(tmp_path: Path) -> None:
    for sync_answers in (False, True):
        settings = Settings(sync_answers=sync_answers, sync_seconds=30, budget=10)
        log = EventLog(tmp_path / str(sync_answers), Faults(), settings)
        done = log.append(IMPRESSIONS, impressions(1))
        asyncio.run(log.settled())
        assert done.done()
        assert done.result()
        log.close()


def test_an_outcome_waits_for_a_slow_sync_and_an_impression_does_not(tmp_path: Path) -> None:
    synced_at: list[float] = []

    class Slow(Segment):
        def sync(self) -> None:
            time.sleep(0.2)
            super().sync()
            synced_at.append(time.monotonic())

    commit = GroupCommit(Settings(), Faults(), lambda: Slow.create(tmp_path, 1), Segment.close)
    acted, shown = outcomes([1]), impressions(1)
    outcome = Entry(OUTCOMES.name, acted.schema, memoryview(acted.serialize()), 1, synced=True, kept=False)
    answer = Entry(IMPRESSIONS.name, shown.schema, memoryview(shown.serialize()), 10, synced=False, kept=True)
    commit.append(outcome)
    commit.append(answer)
    assert answer.done.result(0.15)
    assert not outcome.done.done()
    assert outcome.done.result(5)
    assert synced_at
    commit.close()


def test_many_appends_share_a_sync(tmp_path: Path) -> None:
    calls = []

    class Counted(Segment):
        def sync(self) -> None:
            calls.append(time.monotonic())
            time.sleep(0.02)  # a slow disk
            super().sync()

    commit = GroupCommit(Settings(), Faults(), lambda: Counted.create(tmp_path, 1), Segment.close)
    rows = outcomes([1])
    entries = [
        Entry(OUTCOMES.name, rows.schema, memoryview(rows.serialize()), 1, synced=True, kept=False)
        for _ in range(500)
    ]
    for entry in entries:
        commit.append(entry)
    assert all(entry.done.result(10) for entry in entries)
    commit.close()
    assert len(calls) < 50, "far fewer syncs than rows"
