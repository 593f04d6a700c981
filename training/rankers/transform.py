"""The one transform of the linear rungs: counts and recencies are heavy-tailed, so they are compressed."""

import numpy as np

from training.rankers import Matrix


def compress(features: Matrix) -> Matrix:
    """``sign(x) · log(1 + |x|)`` elementwise, 0 where missing; shape and dtype are kept."""
    filled = np.nan_to_num(features, nan=0.0)
    return np.asarray(np.sign(filled) * np.log1p(np.abs(filled)), dtype=np.float32)
