"""Rows for the event log under test, and what a reader finds of them."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import IMPRESSIONS, OUTCOMES, EventTable
from serving.event_log import Layout, float_lists

NOON = datetime(2025, 8, 1, 12, tzinfo=UTC)
FEATURES = 40

_IMPRESSIONS, _OUTCOMES = Layout(IMPRESSIONS), Layout(OUTCOMES)


def impressions(request_id: int, rows: int = 10, at: datetime = NOON) -> pa.RecordBatch:
    """The items of one answer."""
    alike = {
        "workspace_id": 1,
        "event_timestamp": at,
        "request_id": request_id,
        "recommender": "channel_browser",
        "model_version": "declared",
        "rung": "heuristic",
        "variant": "champion",
        "feature_service_hash": "0123456789abcdef",
        "declaration_hash": "fedcba9876543210",
        "software": "0.1.0",
        "request": None,
        "query_id": 7,
        "context": None,
        "degraded": False,
        "propensity": 1.0,
    }
    items = {
        "candidate_id": np.arange(rows, dtype=np.int64),
        "position": np.arange(1, rows + 1, dtype=np.int16),
        "score": np.linspace(1, 0, rows, dtype=np.float32),
        "sources": pa.array([["by_comembership", "by_popularity"]] * rows, pa.list_(pa.string())),
        "features": float_lists(np.full((rows, FEATURES), request_id, np.float32)),
    }
    return _IMPRESSIONS.batch(rows, alike, items)


def outcomes(event_ids: Sequence[int], at: datetime = NOON) -> pa.RecordBatch:
    """One batch of outcomes."""
    rows = len(event_ids)
    return _OUTCOMES.batch_of(
        {
            "workspace_id": [1] * rows,
            "event_timestamp": [at] * rows,
            "event_id": event_ids,
            "request_id": [7] * rows,
            "recommender": ["composer_dm"] * rows,
            "candidate_id": [8] * rows,
            "outcome": ["address"] * rows,
        }
    )


def parquet(root: Path, table: EventTable) -> pa.Table:
    """All rows of the table's Parquet files, repeats included; each file must be whole."""
    files = sorted((root / table.name).glob("day=*/*.parquet"))
    return pa.concat_tables([table.schema.empty_table(), *(pq.ParquetFile(f).read() for f in files)])


def times(root: Path, table: EventTable, column: str) -> Counter[int]:
    """How often each id is in the table's files."""
    return Counter(parquet(root, table)[column].to_pylist())
