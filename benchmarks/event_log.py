"""What the event log costs an answer, and how much it takes: python -m benchmarks event_log."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from feature_repo.events import IMPRESSIONS, OUTCOMES
from serving.event_log import EventLog, Layout, float_lists
from serving.faults import Faults

FEATURES, ANSWERS, PAUSE, SECONDS, CALLERS = 40, 1000, 0.003, 5.0, 64

_IMPRESSIONS, _OUTCOMES = Layout(IMPRESSIONS), Layout(OUTCOMES)


def run() -> dict[str, str | float]:
    """Measure answers of 10 and of 100 items, and outcomes of many callers at once."""
    result: dict[str, str | float] = {"bench": "event_log"}
    table = Table("answer", "request thread, µs", "wait for the write, µs p50 / p99", "rows/s sustained")
    for items in (10, 100):
        answer = _answers(items)
        thread, waits = asyncio.run(_paced(answer))
        rate = _sustained(answer, items)
        table.add_row(
            f"{items} items × {FEATURES} features",
            f"{np.median(thread):.0f}",
            f"{np.median(waits):.0f} / {np.quantile(waits, 0.99):.0f}",
            f"{rate:,.0f}",
        )
        result |= {
            f"thread_us_{items}": round(float(np.median(thread)), 1),
            f"rows_per_s_{items}": round(rate),
        }
    acknowledged = asyncio.run(_outcomes())
    console = Console()
    console.print(table)
    console.print(f"outcomes acknowledged after their sync, {CALLERS} callers: {acknowledged:,.0f}/s")
    return result | {"synced_outcomes_per_s": round(acknowledged)}


def _answers(items: int) -> Callable[[int], pa.RecordBatch]:
    draws = np.random.default_rng(7)
    ids = np.arange(items, dtype=np.int64)
    features = draws.random((items, FEATURES), np.float32)
    scores = draws.random(items, np.float32)
    sources = tuple(("by_comembership", "by_popularity") for _ in range(items))

    def answer(number: int) -> pa.RecordBatch:
        alike = {
            "workspace_id": 1,
            "event_timestamp": datetime.now(UTC),
            "request_id": number,
            "recommender": "channel_browser",
            "model_version": "y2fvkdq4usq2sjvo",
            "rung": "lightgbm",
            "variant": "champion",
            "feature_service_hash": "0123456789abcdef",
            "query_id": number,
            "context": None,
            "degraded": False,
            "propensity": 1.0,
        }
        columns = {
            "candidate_id": ids,
            "position": np.arange(1, items + 1, dtype=np.int16),
            "score": scores,
            "sources": pa.array(sources, pa.list_(pa.string())),
            "features": float_lists(features),
        }
        return _IMPRESSIONS.batch(items, alike, columns)

    return answer


async def _paced(answer: Callable[[int], pa.RecordBatch]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CPU time of the request's thread, and the wait for the write, both µs, ``[ANSWERS]``."""
    thread, waits = np.zeros(ANSWERS), np.zeros(ANSWERS)
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder), Faults())
        for n in range(ANSWERS):
            await asyncio.sleep(PAUSE)
            begun = time.thread_time()
            log.append(IMPRESSIONS, answer(n))
            thread[n] = time.thread_time() - begun
            begun = time.perf_counter()
            await log.settled()
            waits[n] = time.perf_counter() - begun
        log.close()
    return thread * 1e6, waits * 1e6


def _sustained(answer: Callable[[int], pa.RecordBatch], items: int) -> float:
    """Rows a second from one thread that waits for the write of each twentieth answer; Parquet included."""
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder), Faults())
        begun, number = time.perf_counter(), 0
        while time.perf_counter() - begun < SECONDS:
            done: Future[bool] = log.append(IMPRESSIONS, answer(number))
            number += 1
            if number % 20 == 0:
                done.result()
        log.close()
        assert log.unlogged_rows == 0
        return number * items / (time.perf_counter() - begun)


async def _outcomes() -> float:
    """Outcomes a second that are on the disk, of callers that each wait for their own."""
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder), Faults())
        until, counts = time.perf_counter() + SECONDS, np.zeros(CALLERS)

        async def caller(n: int) -> None:
            while time.perf_counter() < until:
                event = [n * 1_000_000 + int(counts[n])]
                columns: dict[str, list[Any]] = {
                    "workspace_id": [1],
                    "event_timestamp": [datetime.now(UTC)],
                    "event_id": event,
                    "request_id": event,
                    "recommender": ["channel_browser"],
                    "candidate_id": [1],
                    "outcome": ["join"],
                }
                assert await log.synced(log.append_synced(OUTCOMES, _OUTCOMES.batch_of(columns)))
                counts[n] += 1

        await asyncio.gather(*(caller(n) for n in range(CALLERS)))
        log.close()
        return float(counts.sum()) / SECONDS
