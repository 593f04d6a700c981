"""The served feature rows of one model version, out of the log."""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from feature_repo.events import IMPRESSIONS
from monitoring.log import POPULARITY, distinct


@dataclass(frozen=True)
class ServedRows:
    """A sample of the ranked impressions of a model version, with the features that were served.

    Args:
        feature_names: Columns of ``features``.
        features: float32, shape ``[n, features]``, NaN where missing.
        scores: float32, shape ``[n]``.
        positions: int64, shape ``[n]``, 1 is the top.
        requests: How many ranked requests the sample was drawn from.
        unranked: Impressions left out because popularity answered: they have no features.
        misshapen: Impressions left out because their feature list has another length than the bundle's.
    """

    feature_names: tuple[str, ...]
    features: NDArray[np.float32]
    scores: NDArray[np.float32]
    positions: NDArray[np.int64]
    requests: int
    unranked: int
    misshapen: int


def served_rows(
    connection: duckdb.DuckDBPyConnection,
    recommender: str,
    model_version: str,
    feature_names: tuple[str, ...],
    limit: int,
    seed: int = 7,
) -> ServedRows:
    """Draw at most ``limit`` rows from the view ``impressions`` (`monitoring.log.open_log`).

    Args:
        connection: Holds the log.
        recommender: Its name.
        model_version: As logged.
        feature_names: The bundle's, in its order.
        limit: Size of the sample; all rows where there are fewer.
        seed: Same log and seed, same sample, whatever the order of files and threads.
    """
    version = {"recommender": recommender, "version": model_version, "width": len(feature_names)}
    requests, unranked, misshapen = connection.execute(_COUNTS, version).fetchall()[0]
    sample = connection.sql(_SAMPLE, params={**version, "seed": seed, "limit": limit}).to_arrow_table()
    features = sample.column("features").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return ServedRows(
        feature_names,
        features.astype(np.float32).reshape(sample.num_rows, len(feature_names)),
        sample.column("score").to_numpy().astype(np.float32),
        sample.column("position").to_numpy().astype(np.int64),
        requests,
        unranked,
        misshapen,
    )


_ROWS = f"""
WITH version AS (
    SELECT workspace_id, event_timestamp, request_id, position, candidate_id, score, features,
        rung = '{POPULARITY}' OR len(features) = 0 AS unranked
    FROM impressions WHERE recommender = $recommender AND model_version = $version
),
shown AS ({distinct(IMPRESSIONS, "version", "candidate_id")})
"""

_COUNTS = f"""{_ROWS}
SELECT count(DISTINCT (workspace_id, request_id)) FILTER (NOT unranked AND len(features) = $width),
    count(*) FILTER (unranked), count(*) FILTER (NOT unranked AND len(features) <> $width)
FROM shown
"""

# Ordering by a hash draws a sample that does not depend on how many threads read how many files.
_SAMPLE = f"""{_ROWS}
SELECT position, score, features FROM shown WHERE NOT unranked AND len(features) = $width
ORDER BY hash(workspace_id, request_id, position, $seed), request_id, position LIMIT $limit
"""
