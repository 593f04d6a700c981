"""The event log: every row it took is where readers look for it, once, in few files."""

import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.errors import RecommendError
from feature_repo.events import IMPRESSIONS, OUTCOMES
from serving.event_log import EventLog, Settings
from serving.event_log.day_files import DayFiles
from serving.faults import Faults
from tests.serving.live_server import eventually
from tests.serving.log_rows import FEATURES, NOON, impressions, outcomes, parquet, times

QUICK = Settings(rotate_seconds=0.01, rotate_share=1.0)


def test_rows_lie_in_the_folder_of_their_own_day(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults(), QUICK)
    taken = [
        log.append_synced(OUTCOMES, outcomes([3 * n, 3 * n + 1], NOON + timedelta(days=n % 3)))
        for n in range(50)
    ]
    assert all(done.result(5) for done in taken)
    log.close()

    found: list[int] = []
    for file in tmp_path.rglob("*.parquet"):
        table = pq.ParquetFile(file).read()
        assert table.schema.equals(OUTCOMES.schema)
        assert {f"day={t:%Y-%m-%d}" for t in table["event_timestamp"].to_pylist()} == {file.parent.name}
        assert file.parent.parent.name == "outcomes"
        found += table["event_id"].to_pylist()
    assert sorted(found) == sorted(3 * n + k for n in range(50) for k in (0, 1))


def test_one_batch_of_several_days_is_divided(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults())
    early, late = outcomes([1], NOON), outcomes([2], NOON + timedelta(days=1))
    both = pa.Table.from_batches([early, late]).combine_chunks().to_batches()[0]
    assert log.append_synced(OUTCOMES, both).result(5)
    log.close()
    assert times(tmp_path, OUTCOMES, "event_id") == {1: 1, 2: 1}
    assert len(list((tmp_path / "outcomes").iterdir())) == 2


def test_every_value_comes_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults())
    sent = impressions(5, rows=3)
    log.append(IMPRESSIONS, sent)
    log.close()
    assert parquet(tmp_path, IMPRESSIONS).to_pylist() == sent.to_pylist()
    assert sent.to_pylist()[2]["features"] == [5.0] * FEATURES


def test_a_file_is_never_changed_and_nothing_else_is_left(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults(), Settings(rotate_seconds=0.01, rotate_share=1.0))
    seen: dict[Path, int] = {}
    for n in range(30):
        log.append(IMPRESSIONS, impressions(n)).result(5)
        time.sleep(0.02)  # longer than a segment is written to
        for file in (tmp_path / "impressions").rglob("*.parquet"):
            # DuckDB and Spark look at a file more than once: another one of its name would mislead them.
            assert seen.setdefault(file, file.stat().st_ino) == file.stat().st_ino
    log.close()
    assert times(tmp_path, IMPRESSIONS, "request_id") == dict.fromkeys(range(30), 10)
    assert len(seen) > 10
    assert not list(tmp_path.rglob(".*")), "no draft is left behind"
    assert not list((tmp_path / "wal").iterdir()), "nor a segment"


def test_the_more_files_a_day_has_the_longer_a_segment_is_written_to(tmp_path: Path) -> None:
    for worker, files in (("one", (1, 2)), ("two", (3, 4))):
        written = DayFiles(tmp_path, worker)
        for segment, total in enumerate(files, start=1):
            rows = pa.Table.from_batches([outcomes([total])])
            written.append("outcomes", rows, segment)
            assert written.in_day == total
            written.append("outcomes", rows, segment)
            assert written.in_day == total, "the same segment again adds no file"

    log = EventLog(tmp_path, Faults(), Settings(rotate_seconds=0.01, rotate_share=1e9, rotate_growth=0.5))
    for n in range(5, 8):
        log.append(OUTCOMES, outcomes([n])).result(5)
        eventually(lambda wanted=0.01 * (1 + 0.5 * n): log._commit.rotate_seconds == pytest.approx(wanted), 5)
    log.close()
    assert len(list((tmp_path / "outcomes").rglob("*.parquet"))) == 7


def test_recent_rows_are_those_logged_last(tmp_path: Path) -> None:
    for start in (0, 10, 20):
        log = EventLog(tmp_path, Faults())
        assert log.append_synced(OUTCOMES, outcomes(range(start, start + 10))).result(5)
        log.close()
    again = EventLog(tmp_path, Faults())
    recent = [again.recent_rows(OUTCOMES, ["event_id"], most)["event_id"].to_pylist() for most in (15, 100)]
    assert recent == [list(range(15, 30)), list(range(30))]
    nothing = again.recent_rows(IMPRESSIONS, ["request_id", "event_timestamp"], 5)
    assert (nothing.num_rows, nothing.column_names) == (0, ["request_id", "event_timestamp"])
    again.close()


@pytest.mark.parametrize(
    ("variable", "value"), [("RECOMMEND_LOG_SYNC", "always"), ("RECOMMEND_LOG_BUDGET_MS", "20ms")]
)
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(RecommendError, match=variable):
        Settings.from_environment()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment() == Settings()
    monkeypatch.setenv("RECOMMEND_LOG_SYNC", "answer")
    monkeypatch.setenv("RECOMMEND_LOG_BUDGET_MS", "50")
    assert Settings.from_environment() == Settings(sync_answers=True, budget=0.05)
