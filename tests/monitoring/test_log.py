from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.home import log_path
from monitoring.log import ServedLog, open_log
from tests.monitoring.traffic import START, impression, write_events

LATER = START + timedelta(days=9)


def requests(log: ServedLog) -> list[int]:
    rows = log.connection.execute("SELECT request_id FROM impressions ORDER BY request_id").fetchall()
    return [request for (request,) in rows]


def daily(days: int) -> list[dict[str, object]]:
    return [
        impression("r", request_id=day, event_timestamp=START + timedelta(days=day)) for day in range(days)
    ]


def test_where_nothing_was_logged_there_are_no_rows_and_no_warnings(home: Path) -> None:
    log = open_log(log_path(), LATER)
    assert requests(log) == []
    assert log.warnings == ()


def test_the_instants_bound_the_log_and_belong_to_it(home: Path) -> None:
    write_events(IMPRESSIONS, daily(5))
    assert requests(open_log(log_path(), START + timedelta(days=3))) == [0, 1, 2, 3]
    assert requests(open_log(log_path(), START + timedelta(days=3, microseconds=-1))) == [0, 1, 2]
    bounded = open_log(log_path(), START + timedelta(days=3), since=START + timedelta(days=2))
    assert requests(bounded) == [2, 3]


def test_a_file_that_was_cut_is_named_and_left_out(home: Path) -> None:
    write_events(IMPRESSIONS, daily(1))
    (path,) = write_events(IMPRESSIONS, daily(1), "cut")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    log = open_log(log_path(), LATER)
    assert requests(log) == [0]
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith("impressions/day=2025-08-01/cut.parquet is left out: ")


def test_a_file_of_another_shape_is_named_and_left_out(home: Path) -> None:
    (path,) = write_events(IMPRESSIONS, daily(1))
    path.rename(path.with_name("kept.parquet"))
    pq.write_table(pa.table({"request_id": [7], "features": [[1.0]]}), path)
    log = open_log(log_path(), LATER)
    assert requests(log) == [0]
    assert "it has no column workspace_id, event_timestamp" in log.warnings[0]


def test_an_empty_file_is_left_out(home: Path) -> None:
    path = log_path() / OUTCOMES.name / "day=2025-08-01" / "new.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    assert "outcomes/day=2025-08-01/new.parquet" in open_log(log_path(), LATER).warnings[0]


def test_a_quote_in_the_path_is_no_sql(home: Path) -> None:
    write_events(IMPRESSIONS, daily(1), "it's; DROP")
    assert requests(open_log(log_path(), LATER)) == [0]
