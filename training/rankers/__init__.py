"""The ladder of rankers: one algorithm a file, all behind `Ranker`."""

import importlib
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.errors import RecommendError

Matrix = NDArray[np.float32]
"""Features, shape ``[candidates, features]``, C-contiguous float32, NaN where missing."""

LADDER = ("heuristic", "logistic", "lightgbm", "xgboost")
"""From day one upwards; each name is a module of this package with a class ``<Name>Ranker``."""


class Ranker(Protocol):
    """Scores candidates; higher is better. Scores compare only within one query."""

    name: str

    def fit(self, train: "LabelledMatrix", validation: "LabelledMatrix", seed: int) -> Self:
        """Learn from ``train``, stop early on ``validation``. Same data and seed, same ranker."""
        ...

    def score(self, features: Matrix) -> NDArray[np.float32]:
        """Scores of shape ``[candidates]``, float32, finite."""
        ...

    def contributions(self, features: Matrix) -> Matrix:
        """What each feature adds to the score, float32 ``[candidates, features + 1]``; the last column is the base that
        all share, and a row's sum is its score."""
        ...

    def save(self, folder: Path) -> None:
        """Write all that ``load`` needs into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        ...


class LabelledMatrix(Protocol):
    """What a ranker learns from: rows sorted by query, so that a query's candidates are contiguous."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `features`."""
        ...

    @property
    def features(self) -> Matrix:
        """``[n, features]`` float32."""
        ...

    @property
    def labels(self) -> NDArray[np.int8]:
        """``[n]`` 0 or 1."""
        ...

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """Candidates of each query; sums to ``n``."""
        ...


def ranker_class(name: str) -> type[Ranker]:
    """The class behind a name of the ladder. Its library is imported only now.

    Raises:
        RecommendError: no such ranker.
    """
    if name not in LADDER:
        raise RecommendError(f"no ranker named {name!r}: choose one of {', '.join(LADDER)}")
    module = importlib.import_module(f"training.rankers.{name}")
    found: type[Ranker] = next(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and value.__name__.endswith("Ranker")
    )
    return found
