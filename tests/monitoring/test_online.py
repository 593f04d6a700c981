from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import log2

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap  # type: ignore[import-untyped]

from feature_repo.catalog import recommenders
from feature_repo.events import IMPRESSIONS, OUTCOMES
from monitoring.online import (
    MIN_REQUESTS,
    Attribution,
    OnlineMetrics,
    attribution,
    click_through_rate,
    mean_with_interval,
    online_metrics,
)
from tests.monitoring.traffic import START, impression, outcome

Row = Mapping[str, object]

RECOMMENDER = next(iter(recommenders().values()))
GOAL = RECOMMENDER.outcome.name
WINDOW = RECOMMENDER.outcome.window
MICROSECOND = timedelta(microseconds=1)


def connect(impressions: Sequence[Row], outcomes: Sequence[Row]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("impressions", pa.Table.from_pylist(list(impressions), schema=IMPRESSIONS.schema))
    connection.register("outcomes", pa.Table.from_pylist(list(outcomes), schema=OUTCOMES.schema))
    return connection


def measure(
    impressions: Sequence[Row], outcomes: Sequence[Row], as_of: datetime = START + 3 * WINDOW
) -> list[OnlineMetrics]:
    return online_metrics(connect(impressions, outcomes), [RECOMMENDER], as_of)


def total(impressions: Sequence[Row], outcomes: Sequence[Row]) -> OnlineMetrics:
    return next(m for m in measure(impressions, outcomes) if m.day is None)


SHOWN = impression(RECOMMENDER.name)


@pytest.mark.parametrize(
    ("after", "clicks"),
    [
        (-timedelta(hours=1), 0),
        (timedelta(0), 0),
        (MICROSECOND, 1),
        (WINDOW, 1),
        (WINDOW + MICROSECOND, 0),
    ],
)
def test_a_click_falls_in_the_window_that_training_labels_with(after: timedelta, clicks: int) -> None:
    assert total([SHOWN], [outcome(SHOWN, GOAL, after)]).clicks == clicks


@pytest.mark.parametrize(
    "other",
    [{"request_id": 2}, {"candidate_id": 2}, {"workspace_id": 2}, {"outcome": "another kind"}],
)
def test_an_outcome_of_something_else_is_no_click(other: dict[str, object]) -> None:
    rows = [outcome(SHOWN, GOAL, timedelta(hours=1), **other)]
    assert total([SHOWN], rows).clicks == 0
    assert attribution(connect([SHOWN], rows), [RECOMMENDER]) == Attribution(outcomes=1, credited=0)


def test_repeats_count_once() -> None:
    once = outcome(SHOWN, GOAL, timedelta(hours=1))
    again = once | {"event_id": 77}
    found = total([SHOWN, SHOWN], [once, once, again])
    assert (found.impressions, found.requests, found.clicks) == (1, 1, 1)
    assert attribution(connect([SHOWN], [once, once, again]), [RECOMMENDER]) == Attribution(2, 2)


def test_an_impression_is_open_until_its_window_ends_or_it_is_clicked() -> None:
    rows = [impression(RECOMMENDER.name, position=p, candidate_id=p) for p in (1, 2)]
    clicked = [outcome(rows[0], GOAL, timedelta(hours=1))]
    early = measure(rows, clicked, START + WINDOW - MICROSECOND)[0]
    late = measure(rows, clicked, START + WINDOW)[0]
    assert (early.open, late.open) == (1, 0)
    untouched = measure(rows, [], START + timedelta(hours=1))[0]
    assert not untouched.judged
    assert measure(rows, [], START + WINDOW)[0].judged


def test_the_popularity_answers_of_a_version_are_counted() -> None:
    rows = [impression(RECOMMENDER.name, request_id=n) for n in range(3)]
    rows.append(impression(RECOMMENDER.name, request_id=9, rung="popularity"))
    found = total(rows, [])
    assert (found.rung, found.requests, found.unranked) == ("heuristic", 4, 1)
    assert total(rows[-1:], []).rung == "popularity"


def test_a_recommender_that_is_not_declared_has_no_metrics() -> None:
    assert measure([impression("gone")], []) == []


def test_no_rows_give_no_metrics() -> None:
    assert measure([], []) == []
    assert attribution(connect([], []), [RECOMMENDER]) == Attribution(0, 0)


IMPRESSION = st.builds(
    lambda **values: impression(RECOMMENDER.name, **values),
    workspace_id=st.integers(1, 2),
    request_id=st.integers(1, 4),
    model_version=st.sampled_from(["v1", "v2"]),
    candidate_id=st.integers(1, 4),
    position=st.integers(1, 13),
    event_timestamp=st.integers(0, 3).map(lambda d: START + timedelta(hours=11 * d)),
)
OUTCOME = st.builds(
    lambda after, **values: outcome(SHOWN, after=after, **values),
    kind=st.sampled_from([GOAL, GOAL, "another kind"]),
    after=st.sampled_from(
        [timedelta(days=-1), timedelta(0), MICROSECOND, timedelta(hours=30), WINDOW, 2 * WINDOW]
    ),
    workspace_id=st.integers(1, 2),
    event_id=st.integers(1, 6),
    request_id=st.integers(1, 4),
    candidate_id=st.integers(1, 4),
)


def first_by_key(rows: Sequence[Row], key: Sequence[str], tie_break: Sequence[str]) -> list[Row]:
    kept: dict[tuple[object, ...], Row] = {}
    for row in sorted(rows, key=lambda r: tuple(r[c] for c in ("event_timestamp", *tie_break))):  # type: ignore[arg-type]
        kept.setdefault(tuple(row[c] for c in ("workspace_id", *key)), row)
    return list(kept.values())


def oracle(impressions: Sequence[Row], outcomes: Sequence[Row]) -> dict[str, tuple[int, int, int, float]]:
    """Per version: requests, impressions, clicks, sum of DCG@10; by nested loops."""
    acted = first_by_key(outcomes, OUTCOMES.key, ("request_id", "candidate_id", "outcome"))
    found: dict[str, tuple[set[object], list[bool], list[float]]] = {}
    for row in first_by_key(impressions, IMPRESSIONS.key, ("candidate_id",)):
        at, position = row["event_timestamp"], row["position"]
        assert isinstance(at, datetime)
        assert isinstance(position, int)
        clicked = any(
            all(event[c] == row[c] for c in ("workspace_id", "request_id", "candidate_id"))
            and event["outcome"] == GOAL
            and at < event["event_timestamp"] <= at + WINDOW  # type: ignore[operator]
            for event in acted
        )
        requests, clicks, gains = found.setdefault(str(row["model_version"]), (set(), [], []))
        requests.add((row["workspace_id"], row["request_id"]))
        clicks.append(clicked)
        gains.append(1 / log2(position + 1) if clicked and position <= 10 else 0.0)
    return {v: (len(r), len(c), sum(c), sum(g)) for v, (r, c, g) in found.items()}


@settings(max_examples=60, deadline=None)
@given(st.lists(IMPRESSION, max_size=25), st.lists(OUTCOME, max_size=25))
def test_the_counts_are_those_of_nested_loops(impressions: list[Row], outcomes: list[Row]) -> None:
    metrics = measure(impressions, outcomes)
    totals = {m.model_version: (m.requests, m.impressions, m.clicks) for m in metrics if m.day is None}
    expected = oracle(impressions, outcomes)
    assert totals == {version: counts[:3] for version, counts in expected.items()}
    for version, counts in totals.items():
        days = [m for m in metrics if m.day and m.model_version == version]
        assert (
            tuple(map(sum, zip(*((m.requests, m.impressions, m.clicks) for m in days), strict=True)))
            == counts
        )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_mean_dcg_is_that_of_nested_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    impressions = [
        impression(RECOMMENDER.name, request_id=request, candidate_id=c, position=c)
        for request in range(MIN_REQUESTS)
        for c in range(1, 13)
    ]
    outcomes = [
        outcome(row, GOAL, timedelta(hours=1), event_id=n)
        for n, row in enumerate(impressions)
        if rng.random() < 0.2
    ]
    found = total(impressions, outcomes)
    *_, gain = oracle(impressions, outcomes)["v1"]
    assert found.dcg is not None
    assert found.dcg.value == pytest.approx(gain / MIN_REQUESTS, abs=1e-8)
    assert found.dcg.low <= found.dcg.value <= found.dcg.high


def test_wilsons_interval_is_that_of_the_paper() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert str(click_through_rate(81, 263)) == "0.308 [0.255, 0.366]"
    assert str(click_through_rate(15, 148)) == "0.101 [0.062, 0.160]"
    assert str(click_through_rate(0, 20)) == "0.000 [0.000, 0.161]"


def test_the_histogram_bootstrap_agrees_with_the_plain_one() -> None:
    rng = np.random.default_rng(3)
    sample = rng.choice([0.0, 0.0, 0.5, 1.0, 1.63], size=400)
    values, counts = np.unique(sample, return_counts=True)
    plain = bootstrap((sample,), np.mean, n_resamples=2000, method="percentile", rng=rng)
    ours = mean_with_interval(values, counts, seed=1)
    assert ours is not None
    assert ours.value == pytest.approx(sample.mean())
    width = plain.confidence_interval.high - plain.confidence_interval.low
    assert ours.low == pytest.approx(plain.confidence_interval.low, abs=0.1 * width)
    assert ours.high == pytest.approx(plain.confidence_interval.high, abs=0.1 * width)


def test_the_histogram_bootstrap_does_not_depend_on_how_it_is_split() -> None:
    whole = mean_with_interval(np.array([0.0, 1.0]), np.array([60, 40]), seed=1)
    split = mean_with_interval(np.array([0.0, 1.0, 0.0]), np.array([10, 40, 50]), seed=1)
    assert whole == split


@pytest.mark.parametrize(
    ("values", "counts"), [([0.0, 1.0], [20, MIN_REQUESTS - 21]), ([0.0], [1000]), ([0.0, 0.0], [500, 500])]
)
def test_where_the_bootstrap_cannot_tell_it_says_nothing(values: list[float], counts: list[int]) -> None:
    assert mean_with_interval(np.array(values), np.array(counts), seed=1) is None


def test_recommenders_are_kept_apart() -> None:
    declared = list(recommenders().values())
    rows = [impression(r.name, request_id=n) for n, r in enumerate(declared)]
    events = [
        outcome(row, r.outcome.name, r.outcome.window, event_id=n)
        for n, (row, r) in enumerate(zip(rows, declared, strict=True))
    ]
    late = [
        row | {"event_timestamp": row["event_timestamp"] + MICROSECOND, "event_id": 100 + n}  # type: ignore[operator]
        for n, row in enumerate(events)
    ]
    as_of = START + timedelta(days=400)

    def clicks(outcomes: Sequence[Row]) -> dict[str, int]:
        metrics = online_metrics(connect(rows, outcomes), declared, as_of)
        return {m.recommender: m.clicks for m in metrics if m.day is None}

    assert clicks(events) == {r.name: 1 for r in declared}
    assert clicks(late) == {r.name: 0 for r in declared}
