"""As-of joins in DuckDB and on Spark: ours, Feast's own stores, and the floor, an ``ASOF JOIN`` by hand."""

import os
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _join_duckdb, _join_spark
from benchmarks._join_timing import Timing

STATED = {
    "what": "Spark, stock",
    "label_rows": 1_000_000,
    "seconds": None,
    "p99": None,
    "rows_per_second": None,
    "note": "not run: 325 s when tried by hand",
}
"""Too slow to be run every time; by hand it had 8 GB, the same partitions, and a machine that others used."""


def run() -> dict[str, Any]:
    """Interleave the engines, print medians; the last line is for machines."""
    with tempfile.TemporaryDirectory() as folder:
        in_time = _join_duckdb.measured(Path(folder) / "in-time", timedelta(0), against_stock=True)
        late = _join_duckdb.measured(Path(folder) / "late", timedelta(hours=2), against_stock=False)
        # A process of its own: its JVM has the memory that it is given, and ends with it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            few, many = pool.submit(_join_spark.measured, Path(folder) / "spark").result()
    rows = [
        *(_row(f"DuckDB, {name}, rows created in time", timing) for name, timing in in_time.items()),
        *(_row(f"DuckDB, {name}, rows created 2 h late", timing) for name, timing in late.items()),
        *(_row(f"Spark, {name}", timing) for name, timing in few.items()),
        STATED,
        _row("Spark, ours, to Parquet", many["ours"]),
        _row("DuckDB, floor, to Parquet", many["duckdb"]),
    ]
    _print(rows)
    return {
        "bench": "join",
        "vs_stock": _ratio(in_time["stock"], in_time["ours"]),
        "vs_floor": _ratio(in_time["ours"], in_time["floor"]),
        "spark_vs_stock": _ratio(few["stock"], few["ours"]),
        "spark_10m_vs_duckdb": _ratio(many["ours"], many["duckdb"]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }


def _ratio(one: Timing, other: Timing) -> float:
    return round(one.median / other.median, 2)


def _row(what: str, timing: Timing) -> dict[str, Any]:
    return {
        "what": what,
        "label_rows": timing.labels,
        "seconds": round(timing.median, 2),
        "p99": round(timing.p99, 2),
        "rows_per_second": round(timing.labels / timing.median),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "what",
        "label rows",
        "seconds",
        "p99",
        "label rows a second",
        title=f"3 views of 1.25 M rows, 30 features, {os.cpu_count()} cores",
    )
    for row in rows:
        measured = ("–", "–", row["note"]) if row["seconds"] is None else _measured(row)
        table.add_row(row["what"], f"{row['label_rows']:,}", *measured)
    Console().print(table)


def _measured(row: dict[str, Any]) -> tuple[str, str, str]:
    return str(row["seconds"]), str(row["p99"]), f"{row['rows_per_second']:,}"
