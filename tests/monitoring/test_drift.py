from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.events import IMPRESSIONS
from feature_repo.home import log_path
from feature_repo.recommender import Recommender
from monitoring.drift import (
    MIN_REQUESTS,
    ColumnDrift,
    Comparison,
    Drift,
    Unmeasured,
    comparison,
    drift_of,
    match_positions,
)
from monitoring.evidently_reports import measure, store
from monitoring.log import open_log
from monitoring.served import ServedRows, served_rows
from tests.monitoring.traffic import START, Traffic, impression, write_events, write_traffic

LATER = START + timedelta(days=9)
POSITIONS = st.lists(st.integers(1, 12), max_size=400).map(lambda p: np.array(p, np.int64))


def compare(traffic: Traffic, reference: Traffic, limit: int = 20_000) -> Comparison | Unmeasured:
    write_traffic(traffic)
    recommender = traffic.recommender
    log = open_log(log_path(), LATER)
    rows = served_rows(
        log.connection, recommender.name, traffic.model_version, recommender.feature_names, limit
    )
    return comparison(reference.reference(), rows)


def drift(traffic: Traffic, reference: Traffic) -> Drift:
    compared = compare(traffic, reference)
    assert isinstance(compared, Comparison)
    report = measure(compared, traffic.recommender.name, traffic.model_version, LATER)
    return drift_of(compared, report.distances)


@given(POSITIONS, POSITIONS, st.integers(0, 9))
def test_the_matched_reference_has_the_served_mix_of_positions(
    reference: np.ndarray, served: np.ndarray, seed: int
) -> None:
    chosen, kept = match_positions(reference, served, np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == len(chosen)
    if not len(kept):
        assert not len(chosen)
        return
    shares = np.bincount(served[kept], minlength=13) / len(kept)
    counts = np.bincount(reference[chosen], minlength=13)
    available = np.bincount(reference, minlength=13)
    assert (counts <= available).all()
    # One position is used up; all others stand to it as they do among the served rows, but for rounding.
    scale = min(available[p] / shares[p] for p in range(13) if shares[p])
    assert np.all(np.abs(counts - shares * scale) <= 1 + 1e-6)


def test_what_was_shown_at_no_reference_position_is_left_out() -> None:
    reference = np.repeat(np.arange(1, 6), 200)
    served = np.array([1] * 50 + [9] * 50)
    chosen, kept = match_positions(reference, served, np.random.default_rng(0))
    assert set(reference[chosen]) == {1}
    assert set(served[kept]) == {1}


def test_the_same_version_and_instant_replace_the_snapshot(home: Path, recommender: Recommender) -> None:
    from evidently.ui.workspace import Workspace

    compared = compare(Traffic(recommender, "v1", seed=1), Traffic(recommender, "v1", requests=200, seed=2))
    assert isinstance(compared, Comparison)
    names = [*recommender.feature_names[:2], "score"]
    report = measure(Comparison(compared.reference[names], compared.served[names]), "r", "v1", LATER)
    workspace = home / "evidently"
    for run in (report, report, replace(report, as_of=LATER + timedelta(days=1))):
        store(run, workspace)
    (project,) = Workspace(str(workspace)).list_projects()
    assert len(Workspace(str(workspace)).list_runs(project.id)) == 2
    assert len(project.dashboard.model().panels) == 2


def test_an_undisturbed_log_has_not_drifted(home: Path, recommender: Recommender) -> None:
    found = drift(Traffic(recommender, "v1", seed=1), Traffic(recommender, "v1", requests=300, seed=2))
    assert not found.detected
    assert not found.prediction.drifted
    assert found.share <= 0.2
    assert found.served_rows == 1500


def test_without_matching_positions_the_top_would_seem_to_have_drifted(recommender: Recommender) -> None:
    """The reason for the reference's column `position`."""
    _, scores, positions = Traffic(recommender, "v1", requests=300, seed=2).candidates()
    gap = scores[positions <= 10].mean() - scores.mean()
    assert gap / scores.std() > 0.5


def test_a_planted_drift_is_found_and_named(home: Path, recommender: Recommender) -> None:
    names = recommender.feature_names
    grown, lost = dict.fromkeys(names[: len(names) // 2 + 1], 4.0), frozenset(names[-1:])
    found = drift(
        Traffic(recommender, "v1", seed=1, grown=grown, lost=lost),
        Traffic(recommender, "v1", requests=300, seed=2),
    )
    assert found.detected
    assert {*grown, *lost} <= {column.name for column in found.drifted}
    assert found.drifted[-1].name in names
    gone = next(c for c in found.features if c.name in lost)
    assert (gone.distance, gone.missing_served) == (None, 1.0)


def test_empty_and_constant_columns_are_no_trouble(home: Path, recommender: Recommender) -> None:
    names = recommender.feature_names
    odd = {"grown": {names[0]: 0.0}, "lost": frozenset(names[1:3])}
    found = drift(
        Traffic(recommender, "v1", seed=1, grown=odd["grown"], lost=odd["lost"]),  # type: ignore[arg-type]
        Traffic(recommender, "v1", requests=300, seed=2, grown=odd["grown"], lost=odd["lost"]),  # type: ignore[arg-type]
    )
    constant, *empty = found.features[:3]
    assert (constant.distance, constant.drifted) == (0.0, False)
    assert [(c.distance, c.drifted) for c in empty] == [(None, False)] * 2


def test_features_that_are_all_missing_leave_the_score(home: Path, recommender: Recommender) -> None:
    lost = frozenset(recommender.feature_names)
    found = drift(
        Traffic(recommender, "v1", seed=1, lost=lost), Traffic(recommender, "v1", requests=300, seed=2)
    )
    assert found.share == 1.0
    assert found.prediction.distance is not None


def test_popularity_and_misshapen_rows_are_left_out_and_counted(home: Path, recommender: Recommender) -> None:
    write_traffic(Traffic(recommender, "v1", requests=120, seed=1))
    write_traffic(Traffic(recommender, "v1", rung="popularity", requests=7, seed=2))
    write_events(IMPRESSIONS, [impression(recommender.name, request_id=-1, features=[1.0])], "short")
    log = open_log(log_path(), LATER)
    rows = served_rows(log.connection, recommender.name, "v1", recommender.feature_names, 20_000)
    assert (rows.requests, rows.unranked, rows.misshapen) == (120, 70, 1)
    assert rows.features.shape == (1200, len(recommender.feature_names))


def test_the_sample_is_seeded_and_holds_the_served_values(home: Path, recommender: Recommender) -> None:
    traffic = Traffic(recommender, "v1", requests=120, seed=1)
    write_traffic(traffic)
    log = open_log(log_path(), LATER)

    def draw(seed: int) -> ServedRows:
        names = recommender.feature_names
        return served_rows(log.connection, recommender.name, "v1", names, 100, seed)

    first, again, other = draw(7), draw(7), draw(8)
    assert len(first.scores) == 100
    np.testing.assert_array_equal(first.features, again.features)
    assert not np.array_equal(first.scores, other.scores)
    features, scores, _ = traffic.candidates()
    served = {
        float(s): row for s, row in zip(scores.ravel(), features.reshape(-1, features.shape[-1]), strict=True)
    }
    for score, row in zip(first.scores, first.features, strict=True):
        np.testing.assert_array_equal(row, served[float(score)])


def test_what_cannot_be_compared_says_why(home: Path, recommender: Recommender) -> None:
    few = compare(
        Traffic(recommender, "v1", requests=MIN_REQUESTS - 1, seed=1),
        Traffic(recommender, "v1", requests=300),
    )
    assert few == Unmeasured("not enough data: 99 ranked requests of the 100 that it takes")
    write_traffic(Traffic(recommender, "v1", requests=1, seed=5))
    log = open_log(log_path(), LATER)
    rows = served_rows(log.connection, recommender.name, "v1", recommender.feature_names, 20_000)
    thin = comparison(Traffic(recommender, "v1", requests=20).reference(), rows)
    assert thin == Unmeasured("not enough data: the reference holds 20 queries of the 100 that it takes")
    reference = Traffic(recommender, "v1", requests=120).reference()
    unordered = comparison(reference.drop_columns(["position"]), rows)
    assert isinstance(unordered, Unmeasured)
    assert "no column position" in unordered.reason
    deep = comparison(reference, replace(rows, positions=rows.positions + 90))
    assert deep == Unmeasured("not comparable: the reference holds no rows at the positions that were shown")


@pytest.mark.parametrize(
    ("distance", "reference", "served", "drifted"),
    [
        (0.09, 0.0, 0.0, False),
        (0.1, 0.0, 0.0, True),
        (0.0, 0.3, 0.41, True),
        (0.0, 0.3, 0.2, False),
        (None, 0.0, 1.0, True),
    ],
)
def test_a_column_drifts_by_its_values_or_by_its_gaps(
    distance: float | None, reference: float, served: float, drifted: bool
) -> None:
    assert ColumnDrift("c", distance, reference, served).drifted is drifted
