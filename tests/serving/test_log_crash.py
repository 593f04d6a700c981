"""kill -9 at any moment: what was acknowledged is in the log, exactly once."""

import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.home import PROJECT
from serving.event_log import EventLog, Settings
from serving.event_log.day_files import DayFiles
from serving.event_log.rotation import recover
from serving.event_log.segment import Segment, segments_in
from serving.event_log.worker_folder import WorkerFolder
from serving.faults import Faults
from tests.serving.live_server import environment, eventually
from tests.serving.log_rows import impressions, outcomes, times

UNROTATED = Settings(rotate_seconds=60)


@dataclass(frozen=True)
class Writer:
    """A running `tests.serving.log_writer`."""

    process: subprocess.Popen[str]
    first_line: str

    def kill(self) -> list[str]:
        """SIGKILL; the lines that were printed whole."""
        self.process.send_signal(signal.SIGKILL)
        rest, _ = self.process.communicate(timeout=30)
        return [line for line in (self.first_line + rest).splitlines(keepends=True) if line.endswith("\n")]


def start_writer(root: Path, first: int) -> Writer:
    """Start one, and return once it has acknowledged something."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.log_writer", str(root), str(first)],
        cwd=PROJECT,
        env=environment(root),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return Writer(process, process.stdout.readline())


def acknowledged(lines: list[str]) -> tuple[set[int], set[int]]:
    """Request ids and event ids."""
    pairs = [line.split() for line in lines]
    return {int(n) for kind, n in pairs if kind == "i"}, {int(n) for kind, n in pairs if kind == "o"}


def assert_once(root: Path, lines: list[str]) -> None:
    """Every acknowledged id is there, and no id is there twice."""
    answered, acted = acknowledged(lines)
    assert answered
    assert acted
    shown, done = times(root, IMPRESSIONS, "request_id"), times(root, OUTCOMES, "event_id")
    assert answered <= shown.keys(), "an acknowledged answer is missing"
    assert acted <= done.keys(), "an acknowledged outcome is missing"
    assert set(shown.values()) == {3}
    assert set(done.values()) == {1}


@pytest.mark.slow
def test_killed_in_a_loop_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    delays, lines = random.Random(5), []
    for round_ in range(12):
        writer = start_writer(tmp_path, 10_000_000 * (round_ + 1))
        time.sleep(delays.uniform(0, 0.5))
        lines += writer.kill()
    EventLog(tmp_path, Faults()).close()
    assert len(lines) > 500
    assert_once(tmp_path, lines)
    assert not list((tmp_path / "wal").iterdir()), "no segment is left"
    assert not list(tmp_path.rglob("*.draft")), "no draft is left"


@pytest.mark.slow
def test_two_processes_share_a_folder_and_one_recovers_the_other(tmp_path: Path) -> None:
    one, two = start_writer(tmp_path, 10_000_000), start_writer(tmp_path, 20_000_000)
    time.sleep(0.5)
    lines = one.kill()
    folders = set((tmp_path / "wal").iterdir())
    assert len(folders) == 2
    eventually(lambda: len(list((tmp_path / "wal").iterdir())) == 1, 10)
    lines += two.kill()
    EventLog(tmp_path, Faults()).close()
    assert_once(tmp_path, lines)


def test_what_a_dead_process_left_is_recovered_under_traffic_without_a_pause(tmp_path: Path) -> None:
    busy = Settings(rotate_seconds=0.01, rotate_share=1e9, rotate_growth=0.0, recover_seconds=0.3)
    left = dead_worker(tmp_path / "other")
    log, ids = EventLog(tmp_path, Faults(), busy), count(1000)
    (tmp_path / "wal").mkdir()
    worker = left.rename(tmp_path / "wal" / left.name)

    def is_recovered() -> bool:
        assert log.append_synced(OUTCOMES, outcomes([next(ids)])).result(5)
        return not worker.exists()

    eventually(is_recovered, 20)
    log.close()
    assert times(tmp_path, OUTCOMES, "event_id").items() >= {1: 1, 2: 1, 3: 1}.items()


def test_segments_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    living = EventLog(tmp_path, Faults(), UNROTATED)
    assert living.append_synced(OUTCOMES, outcomes([1])).result(5)
    EventLog(tmp_path, Faults()).close()
    assert len(list((tmp_path / "wal").rglob("*.wal"))) == 1
    assert not times(tmp_path, OUTCOMES, "event_id")
    living.close()
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1}


def dead_worker(root: Path) -> Path:
    """A folder as a killed process leaves it: three segments of answers and outcomes."""
    folder = WorkerFolder.create(root / "wal")
    folder.release()
    for number in (1, 2, 3):
        log = EventLog(root / "elsewhere", Faults(), UNROTATED)
        assert log.append(IMPRESSIONS, impressions(number)).result(5)
        assert log.append_synced(OUTCOMES, outcomes([number])).result(5)
        (written,) = (root / "elsewhere" / "wal").rglob("*.wal")
        shutil.copy(written, folder.path / f"{number:08d}.wal")
        log.close()
    shutil.rmtree(root / "elsewhere")
    return folder.path


def test_segments_that_were_rotated_and_not_deleted_are_not_doubled(tmp_path: Path) -> None:
    worker = dead_worker(tmp_path)
    settings, faults = Settings(), Faults()
    copy = shutil.copytree(worker, tmp_path / "copy")
    for rotated in range(4):
        files = DayFiles(tmp_path, worker.name)
        for path in segments_in(copy)[:rotated]:  # a crash came after so many of them, before a deletion
            segment = Segment.open(path)
            for table, rows in segment.read().tables.items():
                files.append(table, rows, segment.number)
            segment.close()
    recover(tmp_path, tmp_path / "wal", settings, faults)
    assert not worker.exists()
    assert times(tmp_path, IMPRESSIONS, "request_id") == {1: 10, 2: 10, 3: 10}
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1, 2: 1, 3: 1}
    assert [part.defect for part in faults.parts()] == [None]


def test_a_segment_that_was_rotated_in_one_table_only_is_completed(tmp_path: Path) -> None:
    worker = dead_worker(tmp_path)
    segment = Segment.open(segments_in(worker)[0])
    DayFiles(tmp_path, worker.name).append("impressions", segment.read().tables["impressions"], 1)
    segment.close()
    recover(tmp_path, tmp_path / "wal", Settings(), Faults())
    assert times(tmp_path, IMPRESSIONS, "request_id") == {1: 10, 2: 10, 3: 10}
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1, 2: 1, 3: 1}


def test_a_torn_tail_is_cut_and_the_rest_recovered(tmp_path: Path) -> None:
    worker = dead_worker(tmp_path)
    last = segments_in(worker)[-1]
    last.write_bytes(last.read_bytes()[:-5])
    recover(tmp_path, tmp_path / "wal", Settings(), Faults())
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1, 2: 1}
    assert times(tmp_path, IMPRESSIONS, "request_id") == {1: 10, 2: 10, 3: 10}


def test_a_damaged_folder_is_said_and_keeps_no_other_from_its_place(tmp_path: Path) -> None:
    damaged, whole = dead_worker(tmp_path), dead_worker(tmp_path)
    segments_in(damaged)[0].write_bytes(b"something else")
    faults = Faults()
    recover(tmp_path, tmp_path / "wal", Settings(), faults)
    assert not whole.exists()
    assert len(segments_in(damaged)) == 3, "kept for whoever can read it"
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1, 2: 1, 3: 1}
    assert "no segment that this version reads" in str(faults.parts()[0].defect)
