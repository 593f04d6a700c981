"""Trees as a request needs them: some hundred rows at a time, in the shortest time there is in Python.

XGBoost's predictor takes a block of rows through a tree at a time, and is several times as fast as LightGBM's, which takes
a row through all trees. So both kinds of trees are evaluated by it (`lightgbm_trees.py`), and by its C interface: XGBoost's own
`Booster.inplace_predict` makes a new class at each call, which costs a tenth of its time and leaves garbage in cycles.
"""

import ctypes
import json

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


class Forest:
    """Trees whose leaves are summed up. Threads may share it."""

    def __init__(self, booster: xgboost.Booster) -> None:
        """Those of a booster with one output. It is set to one thread, as a request has no more to spare."""
        booster.set_param({"nthread": 1})
        self._booster, self._features = booster, booster.num_features()

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
