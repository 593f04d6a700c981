"""A real community, whole: every row is there, memory is bounded."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.chat.events import MENTIONS, MESSAGES
from feature_repo.chat.ingest import ingest
from feature_repo.events import scan_sql
from feature_repo.home import PROJECT, events_path

SHARED = PROJECT / os.environ.get("RECOMMEND_SHARED", "../shared")
EXPORT = SHARED / "data" / "lean_zulip"
needs_data = pytest.mark.skipif(
    not EXPORT.is_dir(), reason="no lean_zulip below the folder that RECOMMEND_SHARED names"
)

MEMORY_ALLOWED = 700 << 20
"""Bytes; of which the libraries take about 200 MiB before the first row."""

_CHILD = """
import sys
from pathlib import Path
from feature_repo.chat.ingest import ingest
report = ingest(Path(sys.argv[1]), "events", "big")
# Not getrusage: its maximum begins with what the starting process had.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(report.total.kept, peak)
"""


@needs_data
@pytest.mark.slow
def test_every_row_is_there_and_the_second_time_none_is_new() -> None:
    report = ingest(EXPORT, "events", "lean")
    assert {name: c.kept for name, c in report.counts.items()} == {
        "users": 5_706,
        "channels": 93,
        "messages": 954_560,
        "mentions": 141_017,
        "channel_links": 4_546,
    }
    assert report.total.quarantined == report.total.duplicate == 0
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW messages AS {scan_sql(MESSAGES, events_path())}")
        connection.execute(f"CREATE VIEW mentions AS {scan_sql(MENTIONS, events_path())}")
        ours = connection.sql(
            "SELECT count(*), count(DISTINCT message_id), count(DISTINCT user_id), count(DISTINCT channel_id), "
            "count(DISTINCT thread_id), sum(characters), sum(attachments) FROM messages"
        ).fetchall()
        theirs = connection.sql(
            "SELECT count(*), count(DISTINCT msg_id), count(DISTINCT user_id), count(DISTINCT channel_id), "
            f"count(DISTINCT (channel_id, topic_id)), sum(n_chars), sum(has_image::INT) FROM '{EXPORT}/messages.parquet'"
        ).fetchall()
        orphans = connection.sql(
            "SELECT count(*) FROM mentions ANTI JOIN messages USING (message_id, user_id, channel_id)"
        ).fetchall()
    assert ours == theirs
    assert orphans == [(0,)]
    again = ingest(EXPORT, "events", "lean")
    assert (again.total.kept, again.total.duplicate) == (0, report.total.read)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_memory_does_not_grow_with_the_input(tmp_path: Path, home: Path) -> None:
    """Thirty times the rows take less than twice the memory: what DuckDB may hold is a constant."""
    small, big = _peak(tmp_path / "small", 100_000), _peak(tmp_path / "big", 3_000_000)
    assert big < MEMORY_ALLOWED
    assert big < 2 * small


def _peak(folder: Path, rows: int) -> int:
    """Bytes that a process of its own takes at most for that many messages over a hundred days."""
    folder.mkdir()
    pq.write_table(pa.table({"user_id": [f"user-{n}" for n in range(1000)]}), folder / "users.parquet")
    channels: dict[str, Any] = {"channel_id": ["c"], "created": [1_700_000_000]}
    pq.write_table(pa.table(channels), folder / "channels.parquet")
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'message-' || lpad(i::VARCHAR, 60, '0') AS message_id, 1700000000 + i * 8640000 // {rows} AS ts, "
            f"'user-' || (i % 1000) AS user_id, 'c' AS channel_id FROM range({rows}) AS t(i)) TO '{folder}/messages.parquet'"
        )
    environment = os.environ | {"RECOMMEND_HOME": str(folder / "home"), "PYTHONPATH": str(PROJECT)}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    kept, kibibytes = child.stdout.split()
    assert int(kept) == rows + 1001
    return int(kibibytes) * 1024
