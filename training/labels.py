"""Bootstrap labels: what people did unprompted after a cut-off, before there are impressions."""

from collections.abc import Sequence
from datetime import datetime

import duckdb
import pyarrow as pa

from feature_repo.catalog import event_tables
from feature_repo.events import TIMESTAMP, register
from feature_repo.recommender import Recommender


def acts_sql(recommender: Recommender) -> str:
    """DuckDB SQL for every time somebody did the outcome unprompted: both join keys and ``acted_at``.

    Where it can happen only ``once``, a pair's first time.
    """
    query, candidate = recommender.query_key, recommender.candidate_key
    acts = f"SELECT {query}, {candidate}, event_timestamp AS acted_at FROM ({recommender.outcome.sql})"
    if recommender.outcome.once:
        acts = f"SELECT {query}, {candidate}, min(acted_at) AS acted_at FROM ({acts}) GROUP BY ALL"
    return acts


def positives(recommender: Recommender, cutoffs: Sequence[datetime], as_of: datetime) -> pa.Table:
    """Who did what in the window after each cut-off.

    A pair counts once per cut-off. Where an outcome can happen only ``once``, only a pair's first time counts.
    Nothing after ``as_of`` is looked at.

    Returns:
        Columns: the query's join key (int64), the candidate's (int64), ``cutoff`` (UTC µs), sorted by all.
    """
    query, candidate = recommender.query_key, recommender.candidate_key
    with duckdb.connect() as connection:
        register(connection, event_tables(), as_of)
        connection.register("cutoffs", pa.table({"cutoff": pa.array(cutoffs, TIMESTAMP)}))
        table: pa.Table = connection.sql(
            f"""
            SELECT DISTINCT {query}, {candidate}, cutoff
            FROM ({acts_sql(recommender)}) JOIN cutoffs ON acted_at > cutoff AND acted_at <= cutoff + to_seconds(?)
            ORDER BY cutoff, {query}, {candidate}
            """,
            params=[recommender.outcome.window.total_seconds()],
        ).to_arrow_table()
    return table
