"""Trees evaluated by XGBoost's C interface, against the two libraries' own predictions."""

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.rankers import Matrix
from training.rankers.forest import Forest
from training.rankers.lightgbm_trees import as_xgboost

FEATURES = 5


def rows(random: np.random.Generator, n: int, missing: float) -> Matrix:
    """Of every order of magnitude, with ties, zeros of both signs, and missing values."""
    values = random.normal(size=(n, FEATURES)) * 10.0 ** random.integers(-30, 30, FEATURES)
    values[:, 0] = random.integers(-3, 4, n)
    values[:, 1] *= random.choice([-0.0, 0.0, 1.0], n)
    values[random.random(values.shape) < missing] = np.nan
    return values.astype(np.float32)


def by_lightgbm(seed: int, missing: float, **settings: object) -> lightgbm.Booster:
    random = np.random.default_rng(seed)
    features = rows(random, 400, missing)
    labels = np.nan_to_num(features[:, 0]) > random.normal(size=len(features))
    parameters = {"objective": "binary", "min_data_in_leaf": 2, "verbosity": -1, "num_leaves": 31, **settings}
    grown = lightgbm.train(parameters, lightgbm.Dataset(features, labels), 8)
    # As a bundle's is read.
    return lightgbm.Booster(model_str=grown.model_to_string())


def at_the_splits(booster: lightgbm.Booster, random: np.random.Generator) -> Matrix:
    """Rows of the thresholds themselves, and of the float32 next to them on either side."""
    table = booster.trees_to_dataframe().dropna(subset=["threshold"])
    thresholds = table["threshold"].clip(-3e38, 3e38).to_numpy(np.float32)
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, 1e-35, -1e-35], np.float32)
    values = np.concatenate(
        [odd, *(np.nextafter(thresholds, np.float32(to)) for to in (np.inf, -np.inf)), thresholds]
    )
    return random.choice(values, (600, FEATURES))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.2]), st.booleans())
def test_a_lightgbm_tree_sends_every_row_to_the_same_leaf(seed: int, missing: float, used: bool) -> None:
    booster = by_lightgbm(seed, missing, use_missing=used)
    dump = booster.dump_model()
    random = np.random.default_rng(seed)
    asked = np.concatenate([at_the_splits(booster, random), rows(random, 200, 0.2)])
    for number, tree in enumerate(dump["tree_info"]):
        alone = Forest(as_xgboost({**dump, "tree_info": [tree]}))
        own = booster.predict(asked, raw_score=True, start_iteration=number, num_iteration=1)
        np.testing.assert_array_equal(alone.margins(asked), np.asarray(own, np.float32))
    whole: NDArray[np.float64] = np.asarray(booster.predict(asked, raw_score=True))
    np.testing.assert_allclose(Forest(as_xgboost(dump)).margins(asked), whole, atol=1e-5)


def test_a_tree_of_one_leaf_and_no_rows() -> None:
    booster = by_lightgbm(1, 0.0, min_data_in_leaf=1000)
    forest = Forest(as_xgboost(booster.dump_model()))
    some = rows(np.random.default_rng(0), 3, 0.0)
    np.testing.assert_allclose(forest.margins(some), booster.predict(some, raw_score=True), rtol=1e-6)
    assert forest.margins(some[:0]).shape == (0,)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda m: m[::-1]])
def test_xgboost_s_margins_are_its_own_to_the_bit(layout: object) -> None:
    random = np.random.default_rng(2)
    features = rows(random, 500, 0.1)
    data = xgboost.DMatrix(features, np.nan_to_num(features[:, 0]) > 0)
    booster = xgboost.train({"objective": "binary:logistic", "base_score": 0.3}, data, 20)
    asked = layout(rows(random, 300, 0.2))  # type: ignore[operator]
    own = booster.inplace_predict(asked, predict_type="margin")
    np.testing.assert_array_equal(Forest(booster).margins(asked), own)


def test_scores_outlive_the_next_call() -> None:
    booster = by_lightgbm(3, 0.1)
    forest, random = Forest(as_xgboost(booster.dump_model())), np.random.default_rng(0)
    first = forest.margins(rows(random, 50, 0.1))
    kept = first.copy()
    forest.margins(rows(random, 50, 0.1))
    np.testing.assert_array_equal(first, kept)


def test_what_it_would_not_evaluate_as_lightgbm_does_is_refused() -> None:
    with pytest.raises(ValueError, match="zero_as_missing"):
        as_xgboost(by_lightgbm(4, 0.1, zero_as_missing=True).dump_model())
    by_category = by_lightgbm(4, 0.0).dump_model()
    by_category["tree_info"][0]["tree_structure"]["decision_type"] = "=="
    with pytest.raises(ValueError, match="categories"):
        as_xgboost(by_category)
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    with pytest.raises(ValueError, match="one score"):
        as_xgboost(by_lightgbm(4, 0.1, **forest).dump_model())


def test_a_matrix_of_other_features_is_refused() -> None:
    forest = Forest(as_xgboost(by_lightgbm(5, 0.1).dump_model()))
    with pytest.raises(ValueError, match=r"of 5 features: the matrix is \(2, 4\)"):
        forest.margins(np.zeros((2, 4), np.float32))
