"""Day one: a weighted sum of compressed features, the weights tuned by hand in the declaration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.rankers import LabelledMatrix, Matrix
from training.rankers.transform import compress


class HeuristicRanker:
    """``Σ weight · sign(x)·log(1+|x|)``; a missing feature contributes nothing."""

    name = "heuristic"

    def __init__(self, weights: Mapping[str, float], feature_names: tuple[str, ...]) -> None:
        """Weights by feature name; features without one do not count."""
        self._weights = np.array([weights.get(n, 0.0) for n in feature_names], np.float32)

    def fit(self, train: LabelledMatrix, validation: LabelledMatrix, seed: int) -> Self:
        """Nothing to learn: the weights are the declaration's."""
        return self

    def score(self, features: Matrix) -> NDArray[np.float32]:
        """See `Ranker.score`."""
        return np.asarray(compress(features) @ self._weights, np.float32)

    def contributions(self, features: Matrix) -> Matrix:
        """See `Ranker.contributions`: the terms of the sum; the base is 0."""
        return np.hstack([compress(features) * self._weights, np.zeros((len(features), 1), np.float32)])

    def save(self, folder: Path) -> None:
        """See `Ranker.save`."""
        (folder / "heuristic.json").write_text(json.dumps(self._weights.tolist()))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Ranker.load`."""
        ranker = cls({}, ())
        ranker._weights = np.array(json.loads((folder / "heuristic.json").read_text()), np.float32)
        return ranker
