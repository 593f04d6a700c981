"""Draws in proportion to weights, many at once."""

import numpy as np
from numpy.typing import NDArray


def draw_within(
    rng: np.random.Generator,
    cumulative: NDArray[np.float64],
    first: NDArray[np.integer],
    last: NDArray[np.integer],
) -> NDArray[np.int64]:
    """For each segment ``[first, last)`` of weights given by their running sum, an index drawn in proportion.

    Every segment has a row; int64, the shape of ``first``.
    """
    below = np.where(first > 0, cumulative[first - 1], 0.0)
    target = below + rng.random(first.shape) * (cumulative[last - 1] - below)
    # Rounding may put the target on the very end of the segment.
    return np.asarray(np.clip(np.searchsorted(cumulative, target, side="right"), first, last - 1), np.int64)


def draw_columns(
    rng: np.random.Generator, weights: NDArray[np.floating], count: int = 1
) -> NDArray[np.int64]:
    """``count`` columns of each row, drawn in proportion to its weights; -1 where they are all zero.

    Int64 ``[rows, count]``.
    """
    cumulative = np.cumsum(weights, axis=1, dtype=np.float64)
    target = rng.random((len(weights), count)) * cumulative[:, -1:]
    column = (cumulative[:, None, :] <= target[:, :, None]).sum(axis=2)
    return np.where(column == weights.shape[1], -1, column).astype(np.int64)


def first_valid(proposals: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first valid proposal of each row, -1 where there is none; int64 ``[rows]``."""
    chosen = proposals[np.arange(len(proposals)), valid.argmax(axis=1)]
    return np.where(valid.any(axis=1), chosen, -1)
