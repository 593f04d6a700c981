"""Online metrics from the served log: CTR and DCG@10, per recommender, model version and day.

A click is an outcome of the recommender's declared kind on a shown item, in ``(t, t + window]`` after the
instant ``t`` at which it was shown: the same interval that training labels with. An impression is clicked
or not; how often does not matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import binomtest  # type: ignore[import-untyped]

from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.recommender import Recommender
from monitoring.log import POPULARITY, distinct
from training.bundle import Interval

DEPTH = 10
"""Positions that DCG counts."""

MIN_REQUESTS = 30
"""Below this many requests a bootstrap over them says nothing."""

RESAMPLES = 2000


@dataclass(frozen=True)
class OnlineMetrics:
    """What became of the answers of one model version, on one day or on all.

    Args:
        recommender: Its name.
        model_version: As logged; its popularity answers are part of it.
        day: UTC day of the requests; None for the total.
        rung: What ranked: a ranker's name, or popularity where no answer was ranked.
        requests: Answers with at least one item.
        unranked: Of these, how many popularity answered.
        impressions: Items shown.
        clicks: Of these, how many were clicked.
        open: Impressions whose window had not ended: they may yet be clicked.
        ctr: ``clicks / impressions``; see `click_through_rate`.
        dcg: Mean DCG@10 over requests; see `mean_with_interval`. None where there are too few requests, or
            all are alike, to say how sure it is.
    """

    recommender: str
    model_version: str
    day: date | None
    rung: str
    requests: int
    unranked: int
    impressions: int
    clicks: int
    open: int
    ctr: Interval
    dcg: Interval | None

    @property
    def judged(self) -> bool:
        """Whether the CTR says anything: without a click so far, a 0 means nothing while all windows are open."""
        return self.clicks > 0 or self.open < self.impressions


@dataclass(frozen=True)
class Attribution:
    """How many of the logged outcomes (repeats removed) were credited to an impression.

    The others came too late or too early, belong to no impression that was logged, or are of a kind
    that does not count as success.
    """

    outcomes: int
    credited: int


def online_metrics(
    connection: duckdb.DuckDBPyConnection, recommenders: Iterable[Recommender], as_of: datetime, seed: int = 7
) -> list[OnlineMetrics]:
    """Metrics per recommender × model version × day, each version's total first.

    Args:
        connection: Holds the views ``impressions`` and ``outcomes`` (`monitoring.log.open_log`).
        recommenders: The declared ones; impressions of others are not counted.
        as_of: The instant up to which the log is known.
        seed: Of the bootstrap.
    """
    _register_goals(connection, recommenders)
    rows = connection.execute(_METRICS, {"as_of": as_of}).fetchall()
    return [_metrics(*row, seed=seed) for row in rows]


def attribution(connection: duckdb.DuckDBPyConnection, recommenders: Iterable[Recommender]) -> Attribution:
    """Outcomes logged and outcomes credited; arguments as of `online_metrics`."""
    _register_goals(connection, recommenders)
    found = connection.execute(_ATTRIBUTION).fetchone()
    return Attribution(*found) if found else Attribution(0, 0)


def click_through_rate(clicks: int, impressions: int) -> Interval:
    """``clicks / impressions`` with Wilson's score interval, 95 % (E. B. Wilson, JASA 22, 1927).

    Impressions count as independent, which those of one request are not quite: it is a little too narrow.
    """
    interval = binomtest(clicks, impressions).proportion_ci(0.95, method="wilson")
    return Interval(clicks / impressions, float(interval.low), float(interval.high))


def mean_with_interval(values: NDArray[np.float64], counts: NDArray[np.int64], seed: int) -> Interval | None:
    """Mean and 95 % percentile bootstrap interval (Efron 1979) of a sample given as a histogram.

    A resample of n requests depends only on how often each value is drawn, which is multinomial: the work
    grows with the number of different values, not with the number of requests.

    Args:
        values: The values seen, float64, shape ``[k]``; repeats are allowed.
        counts: How often, int64, shape ``[k]``.
        seed: Same sample and seed, same interval.

    Returns:
        None below `MIN_REQUESTS`, or where all values are equal: the bootstrap would claim certainty.
    """
    unique, inverse = np.unique(values, return_inverse=True)
    total = int(counts.sum())
    if total < MIN_REQUESTS or len(unique) < 2:
        return None
    share = np.bincount(inverse, weights=counts) / total
    draws = np.random.default_rng(seed).multinomial(total, share, size=RESAMPLES)
    low, high = np.quantile(draws @ unique / total, [0.025, 0.975])
    return Interval(float(share @ unique), float(low), float(high))


def _metrics(
    recommender: str,
    model_version: str,
    day: date | None,
    rung: str,
    requests: int,
    unranked: int,
    impressions: int,
    clicks: int,
    open_impressions: int,
    dcg_values: list[float],
    dcg_counts: list[int],
    *,
    seed: int,
) -> OnlineMetrics:
    return OnlineMetrics(
        recommender,
        model_version,
        day,
        rung,
        requests,
        unranked,
        impressions,
        clicks,
        open_impressions,
        click_through_rate(clicks, impressions),
        mean_with_interval(np.array(dcg_values), np.array(dcg_counts), seed),
    )


def _register_goals(connection: duckdb.DuckDBPyConnection, recommenders: Iterable[Recommender]) -> None:
    declared = list(recommenders)
    goals = {
        "recommender": pa.array([r.name for r in declared], pa.string()),
        "outcome": pa.array([r.outcome.name for r in declared], pa.string()),
        "goal_window": pa.array([r.outcome.window for r in declared], pa.duration("us")),
    }
    connection.register("goals", pa.table(goals))


_SHOWN = f"""
shown AS (
    SELECT impression.*, goals.outcome, impression.event_timestamp + goals.goal_window AS deadline
    FROM ({distinct(IMPRESSIONS, "impressions", "candidate_id")}) impression JOIN goals USING (recommender)
),
acted AS ({distinct(OUTCOMES, "outcomes", "request_id, candidate_id, outcome")})
"""

_CREDIT = """
    acted.workspace_id = shown.workspace_id AND acted.request_id = shown.request_id
    AND acted.candidate_id = shown.candidate_id AND acted.outcome = shown.outcome
    AND acted.event_timestamp > shown.event_timestamp AND acted.event_timestamp <= shown.deadline
"""

# DCG: K. Järvelin, J. Kekäläinen, ACM TOIS 20 (2002), with the discount log2(position + 1) and gain 1 for a
# click. Rounded, so that the order in which a request's gains are added up does not make new values.
_METRICS = f"""
WITH {_SHOWN},
labelled AS (
    SELECT *, EXISTS (SELECT 1 FROM acted WHERE {_CREDIT}) AS clicked FROM shown
),
requests AS (
    SELECT recommender, model_version, min(event_timestamp)::DATE AS day,
        min(rung) FILTER (rung <> '{POPULARITY}') AS ranker,
        count(*) AS impressions,
        count(*) FILTER (clicked) AS clicks,
        count(*) FILTER (deadline > $as_of AND NOT clicked) AS open,
        round(coalesce(sum(1 / log2(position + 1)) FILTER (clicked AND position <= {DEPTH}), 0), 9) AS dcg
    FROM labelled GROUP BY recommender, model_version, workspace_id, request_id
),
alike AS (
    SELECT recommender, model_version, day, dcg, min(ranker) AS rung, count(*) AS requests,
        count(*) FILTER (ranker IS NULL) AS unranked,
        sum(impressions) AS impressions, sum(clicks) AS clicks, sum(open) AS open
    FROM requests GROUP BY recommender, model_version, day, dcg
)
SELECT recommender, model_version, day, coalesce(min(rung), '{POPULARITY}'),
    sum(requests)::BIGINT, sum(unranked)::BIGINT, sum(impressions)::BIGINT, sum(clicks)::BIGINT,
    sum(open)::BIGINT, list(dcg ORDER BY dcg, day), list(requests ORDER BY dcg, day)
FROM alike
GROUP BY GROUPING SETS ((recommender, model_version), (recommender, model_version, day))
ORDER BY recommender, model_version, day NULLS FIRST
"""

_ATTRIBUTION = f"""
WITH {_SHOWN}
SELECT count(*), count(*) FILTER (EXISTS (SELECT 1 FROM shown WHERE {_CREDIT})) FROM acted
"""
