"""LightGBM's trees as XGBoost's, for `forest.py`.

A float32 value goes the same way at every split: ``x <= t`` in doubles is ``x < c``, where c is the float32 that follows
the greatest one up to t. Leaves are rounded to float32, and summed up as such.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost

_INFINITY, _ZERO, _ENDLESS = np.float32(np.inf), np.float32(1e-35), 1e300
"""For LightGBM, what is within `_ZERO` is zero; it writes an infinite threshold as `_ENDLESS`."""


def as_xgboost(dump: Mapping[str, Any]) -> xgboost.Booster:
    """The same trees, with the same leaf for every row.

    Args:
        dump: of ``lightgbm.Booster.dump_model``.

    Raises:
        ValueError: there are several classes, an average, categories, or zeros that count as missing.
    """
    if dump["num_class"] != 1 or dump["average_output"]:
        raise ValueError("LightGBM's trees are summed up to one score: train without classes and forests")
    features = dump["max_feature_idx"] + 1
    trees = [_tree(n, tree["tree_structure"], features) for n, tree in enumerate(dump["tree_info"])]
    booster = xgboost.Booster()
    booster.load_model(bytearray(json.dumps(_model(trees, features)).encode()))
    return booster


def _model(trees: list[dict[str, Any]], features: int) -> dict[str, Any]:
    """XGBoost's model as JSON (its documentation, *Introduction to Model IO*)."""
    return {
        "version": [3, 0, 0],
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                    "iteration_indptr": list(range(len(trees) + 1)),
                    "tree_info": [0] * len(trees),
                    "trees": trees,
                },
            },
            "learner_model_param": {
                "base_score": "0",
                "boost_from_average": "0",
                "num_class": "0",
                "num_feature": str(features),
                "num_target": "1",
            },
            "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
    }


@dataclass(frozen=True)
class _Split:
    """A split as XGBoost has it: ``x < less_than`` goes left, and what is missing where it is told to."""

    feature: int
    less_than: float
    missing_left: bool
    left: Mapping[str, Any]
    right: Mapping[str, Any]

    @classmethod
    def of_lightgbm(cls, node: Mapping[str, Any]) -> Self:
        if node["decision_type"] != "<=":
            raise ValueError(f"LightGBM's split {node['decision_type']!r}: train without categories")
        if node["missing_type"] == "Zero":
            raise ValueError("LightGBM's zero_as_missing: train with NaN for what is missing")
        feature, threshold = node["split_feature"], node["threshold"]
        left, right = node["left_child"], node["right_child"]
        # A split that has seen no missing value takes it for zero.
        missing_left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0
        if threshold >= _ENDLESS:  # all that is not missing goes left, infinity too: here, to the right
            return cls(feature, -np.inf, not missing_left, right, left)
        return cls(feature, _less_than(threshold), missing_left, left, right)


def _tree(number: int, root: Mapping[str, Any], features: int) -> dict[str, Any]:
    """XGBoost takes a right child to be the one after the left: nodes are numbered level by level."""
    waiting, parents = [root], [2**31 - 1]
    nodes: list[tuple[int, int, int, float, float, bool]] = []
    for at, node in enumerate(waiting):
        if "leaf_value" in node:
            value = float(node["leaf_value"])
            nodes.append((-1, -1, 0, value, value, False))
            continue
        split = _Split.of_lightgbm(node)
        nodes.append(
            (len(waiting), len(waiting) + 1, split.feature, split.less_than, 0.0, split.missing_left)
        )
        waiting += [split.left, split.right]
        parents += [at, at]
    left, right, feature, condition, weight, missing_left = (
        list(column) for column in zip(*nodes, strict=True)
    )
    unknown = [0.0] * len(nodes)
    return {
        "id": number,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(len(nodes)),
            "size_leaf_vector": "1",
        },
        "left_children": left,
        "right_children": right,
        "parents": parents,
        "split_indices": feature,
        "split_conditions": condition,
        "base_weights": weight,
        "default_left": [int(goes_left) for goes_left in missing_left],
        "split_type": [0] * len(nodes),
        "loss_changes": unknown,
        "sum_hessian": unknown,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
    }


def _less_than(threshold: float) -> float:
    """The float32 c with ``x < c`` for just those float32 x with ``x <= threshold``."""
    wanted = max(threshold, float(_ZERO)) if threshold >= 0 else threshold
    with np.errstate(over="ignore"):
        nearest = np.float32(wanted)
        below = nearest if float(nearest) <= wanted else np.nextafter(nearest, -_INFINITY)
        following = np.nextafter(below, _INFINITY)
    return float(following if threshold >= 0 else min(following, -_ZERO))
