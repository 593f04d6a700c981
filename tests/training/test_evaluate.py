"""Intervals cover the truth as often as they say, and pairs are compared as pairs."""

import numpy as np
import pytest

from training.evaluate import Calibration, Evidence, bootstrap


def test_interval_covers_the_true_mean_about_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        taste = random.normal(0.4, 0.1, 120)
        users = np.repeat(np.arange(120), 3)
        values = taste[users] + random.normal(0, 0.1, len(users))
        interval = bootstrap(values, users, trial)
        covered += interval.low <= 0.4 <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_resampling_users_gives_a_wider_interval_than_pretending_queries_are_independent() -> None:
    random = np.random.default_rng(2)
    users = np.repeat(np.arange(50), 10)
    values = random.normal(0, 1, 50)[users]
    by_user = bootstrap(values, users, 1)
    by_query = bootstrap(values, np.arange(len(values)), 1)
    assert by_user.high - by_user.low > 2 * (by_query.high - by_query.low)


def test_a_small_constant_gain_is_seen_although_users_differ_more_than_that() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.3, 300)
    users = np.arange(300)
    better = Evidence({"ndcg@10": values + 0.01}, users)
    lift = better.lift(Evidence({"ndcg@10": values}, users), "ndcg@10", seed=1)
    assert lift.low == pytest.approx(0.01)
    assert lift.high == pytest.approx(0.01)


def test_undefined_values_are_left_out_and_nothing_defined_is_nan() -> None:
    values = np.array([0.5, np.nan, 0.5])
    assert bootstrap(values, np.array([1, 2, 3]), 1).value == 0.5
    assert np.isnan(bootstrap(np.array([np.nan]), np.array([1]), 1).value)


def test_same_seed_same_interval() -> None:
    values, users = np.random.default_rng(4).random(40), np.arange(40)
    assert bootstrap(values, users, 9) == bootstrap(values, users, 9)


def test_calibrated_scores_are_probabilities() -> None:
    p = Calibration(2.0, -1.0).probabilities(np.array([-50, 0.5, 50], np.float32))
    assert p[0] < 1e-9
    assert p[1] == pytest.approx(0.5)
    assert p[2] > 1 - 1e-9
