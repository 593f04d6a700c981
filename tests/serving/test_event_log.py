"""The event log writes every row it took, where readers look for it, and says what it could not write."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from feature_repo.events import OUTCOMES
from serving.event_log import FLUSH_ROWS, QUEUED_BATCHES, EventLog
from serving.faults import Faults


def outcome(event_id: int, day: int) -> dict[str, Any]:
    return {
        "workspace_id": 1,
        "event_timestamp": datetime(2025, 8, day, 12, tzinfo=UTC),
        "event_id": event_id,
        "request_id": 7,
        "recommender": "composer_dm",
        "candidate_id": 8,
        "outcome": "address",
    }


def test_rows_lie_in_the_folder_of_their_own_day(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults())
    rows = [outcome(n, day=1 + n % 3) for n in range(3 * FLUSH_ROWS)]
    for start in range(0, len(rows), 50):
        assert log.offer(OUTCOMES, rows[start : start + 50])
    log.close()

    found: list[int] = []
    for file in tmp_path.rglob("*.parquet"):
        table = pq.ParquetFile(file).read()
        assert table.schema.equals(OUTCOMES.schema)
        days = {f"day={t:%Y-%m-%d}" for t in table["event_timestamp"].to_pylist()}
        assert days == {file.parent.name}
        assert file.parent.parent.name == "outcomes"
        found += table["event_id"].to_pylist()
    assert sorted(found) == list(range(3 * FLUSH_ROWS))
    assert not list(tmp_path.rglob(".*")), "no draft is left behind"


def test_an_unwritable_folder_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "outcomes").write_text("a file where the table's folder should be")
    logging.getLogger("bentoml").propagate = True
    log = EventLog(tmp_path, Faults())
    log.offer(OUTCOMES, [outcome(1, day=1), outcome(2, day=2)])
    log.close()
    said = [r.getMessage() for r in caplog.records if "event log" in r.getMessage()]
    assert len(said) == 2, "one line for each day's folder, as the reason differs"
    assert all("NotADirectoryError" in line or "FileExistsError" in line for line in said)


def test_a_full_queue_drops_at_once_and_says_so(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Faults())
    log.close()  # nobody takes from the queue any more
    taken = [log.offer(OUTCOMES, [outcome(n, day=1)]) for n in range(QUEUED_BATCHES + 5)]
    assert taken == [True] * QUEUED_BATCHES + [False] * 5
