"""How fast a million messages are de-identified, against the floor: DuckDB rewriting the same rows by day."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

MESSAGES = 1_000_000
REPEATS = 3


def run() -> dict[str, Any]:
    """Interleave the two, print medians; the last line is for machines."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        _write(raw)
        seconds: dict[str, list[float]] = {"ours": [], "floor": []}
        for repeat in range(REPEATS):
            seconds["floor"].append(_timed(lambda n=repeat: _floor(raw, Path(folder) / f"floor-{n}")))  # type: ignore[misc]
            seconds["ours"].append(_timed(lambda n=repeat: _ours(raw, Path(folder) / f"home-{n}")))  # type: ignore[misc]
    medians = {name: median(times) for name, times in seconds.items()}
    rows = [
        {"what": name, "seconds": round(s, 2), "rows_per_second": round(MESSAGES / s)}
        for name, s in medians.items()
    ]
    table = Table("what", "seconds", "rows a second", title=f"{MESSAGES:,} messages, {os.cpu_count()} cores")
    for row in rows:
        table.add_row(str(row["what"]), f"{row['seconds']}", f"{row['rows_per_second']:,}")
    Console().print(table)
    return {
        "bench": "ingest",
        "vs_floor": round(medians["ours"] / medians["floor"], 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _write(raw: Path) -> None:
    """Two years of messages by 5,000 people in 200 channels, ids as strings."""
    raw.mkdir()
    first = datetime(2023, 1, 1)
    span = timedelta(days=730).total_seconds()
    duckdb.execute(
        f"COPY (SELECT 'U' || n AS user_id, false AS is_bot FROM range(5000) t(n)) TO '{raw}/users.parquet'"
    )
    duckdb.execute(
        f"COPY (SELECT 'C' || n AS channel_id, TIMESTAMP '{first}' AS event_timestamp FROM range(200) t(n)) "
        f"TO '{raw}/channels.parquet'"
    )
    duckdb.execute(
        f"""COPY (
            SELECT 'M' || n AS message_id, TIMESTAMP '{first}' + to_seconds(n * {span / MESSAGES}) AS event_timestamp,
                   'U' || hash(n) % 5000 AS user_id, 'C' || hash(n + 1) % 200 AS channel_id,
                   'T' || n // 7 AS thread_id, (hash(n + 2) % 500)::INTEGER AS characters
            FROM range({MESSAGES}) t(n)
        ) TO '{raw}/messages.parquet'"""
    )


def _floor(raw: Path, out: Path) -> None:
    duckdb.execute(
        f"COPY (SELECT *, strftime(event_timestamp, '%Y-%m-%d') AS day FROM '{raw}/messages.parquet') "
        f"TO '{out}' (FORMAT parquet, PARTITION_BY (day))"
    )


def _ours(raw: Path, home: Path) -> None:
    from feature_repo.chat.ingest import ingest

    os.environ["RECOMMEND_HOME"] = str(home)
    ingest(raw, "events", "bench")
