"""Trees as a request needs them: some hundred rows at a time, in the shortest time there is in Python.

XGBoost's predictor takes a block of rows through a tree at a time, and is several times as fast as LightGBM's, which takes
a row through all trees. So both kinds of trees are evaluated by it, and by its C interface: XGBoost's own
`Booster.inplace_predict` makes a new class at each call, which costs a tenth of its time and leaves garbage in cycles.
"""

import ctypes
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost.core import _LIB, _check_call

from training.rankers import Matrix

_MARGINS = json.dumps(
    {
        "type": 1,
        "training": False,
        "iteration_begin": 0,
        "iteration_end": 0,
        "missing": float("nan"),
        "strict_shape": False,
        "cache_id": 0,
    }
).encode()
"""What to predict: the sum of all trees, where NaN is missing."""
_INFINITY, _ZERO, _ENDLESS = np.float32(np.inf), np.float32(1e-35), 1e300
"""For LightGBM, what is within `_ZERO` is zero; it writes an infinite threshold as `_ENDLESS`."""


class Forest:
    """Trees whose leaves are summed up. Threads may share it."""

    def __init__(self, booster: xgboost.Booster) -> None:
        """Those of a booster with one output. It is set to one thread, as a request has no more to spare."""
        booster.set_param({"nthread": 1})
        self._booster, self._features = booster, booster.num_features()

    @classmethod
    def of_lightgbm(cls, dump: Mapping[str, Any]) -> Self:
        """The same trees as those of a LightGBM booster.

        A float32 value goes the same way at every split: ``x <= t`` in doubles is ``x < c``, where c is the float32
        that follows the greatest one up to t. Leaves are rounded to float32, and summed up as such.

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
        return cls(booster)

    def margins(self, features: Matrix) -> NDArray[np.float32]:
        """The sum of each row's leaves, ``[rows]``; NaN goes the way that a split has for what is missing.

        Args:
            features: float32 ``[rows, features]``.

        Raises:
            ValueError: the matrix has another number of features than the trees.
        """
        if features.ndim != 2 or features.shape[1] != self._features:
            raise ValueError(f"the trees are of {self._features} features: the matrix is {features.shape}")
        rows = np.ascontiguousarray(features, np.float32)
        if not len(rows):
            return np.zeros(0, np.float32)
        # The array interface of NumPy, version 3.
        described = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        found = ctypes.POINTER(ctypes.c_float)()
        _check_call(
            _LIB.XGBoosterPredictFromDense(
                self._booster.handle,
                described % (rows.ctypes.data, *rows.shape),
                _MARGINS,
                None,
                ctypes.byref(shape),
                ctypes.byref(dimensions),
                ctypes.byref(found),
            )
        )
        # XGBoost's own memory, which this thread's next call overwrites.
        return np.ctypeslib.as_array(found, (len(rows),)).copy()


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
