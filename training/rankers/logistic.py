"""The first learned rung: L2-regularised logistic regression on standardised, compressed features."""

import json
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from training.rankers import LabelledMatrix, Matrix
from training.rankers.transform import compress

PENALTIES = (0.003, 0.03, 0.3, 3.0)
"""Inverse regularisation strengths that are tried; validation log loss chooses."""


_CONSTANT, _DIVIDED_AWAY = 1e-4, 1e30
"""A column that varies less than this in training tells nothing, also where it varies later."""


class LogisticRanker:
    """Score: the log-odds. A missing value counts as zero and has an indicator of its own."""

    name = "logistic"

    def __init__(self) -> None:
        """Unfitted."""
        self._mean = self._scale = self._weights = np.zeros(0, np.float32)
        self._bias = 0.0

    def fit(self, train: LabelledMatrix, validation: LabelledMatrix, seed: int) -> Self:
        """Fit each of `PENALTIES`, keep the one with the least validation log loss."""
        raw = _design(train.features)
        deviation = raw.std(axis=0)
        self._mean = raw.mean(axis=0)
        self._scale = np.where(deviation > _CONSTANT, deviation, _DIVIDED_AWAY).astype(np.float32)
        x, x_validation = self._standardise(train.features), self._standardise(validation.features)

        def attempt(penalty: float) -> tuple[float, LogisticRegression]:
            model = LogisticRegression(C=penalty, max_iter=500, random_state=seed).fit(x, train.labels)
            loss = log_loss(validation.labels, model.predict_proba(x_validation)[:, 1], labels=[0, 1])
            return loss, model

        _, best = min((attempt(p) for p in PENALTIES), key=lambda pair: pair[0])
        self._weights, self._bias = best.coef_[0].astype(np.float32), float(best.intercept_[0])
        return self

    def score(self, features: Matrix) -> NDArray[np.float32]:
        """See `Ranker.score`."""
        return np.asarray(self._standardise(features) @ self._weights + np.float32(self._bias), np.float32)

    def contributions(self, features: Matrix) -> Matrix:
        """See `Ranker.contributions`: the terms of the log-odds, a value's and its indicator's together, counted from
        the mean of the training rows."""
        terms = self._standardise(features) * self._weights
        values, indicators = np.hsplit(terms, 2)
        return np.hstack([values + indicators, np.full((len(features), 1), self._bias, np.float32)])

    def save(self, folder: Path) -> None:
        """See `Ranker.save`."""
        state = {"mean": self._mean, "scale": self._scale, "weights": self._weights}
        document = {k: v.tolist() for k, v in state.items()} | {"bias": self._bias}
        (folder / "logistic.json").write_text(json.dumps(document))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Ranker.load`."""
        document = json.loads((folder / "logistic.json").read_text())
        ranker = cls()
        ranker._mean, ranker._scale, ranker._weights = (
            np.array(document[k], np.float32) for k in ("mean", "scale", "weights")
        )
        ranker._bias = document["bias"]
        return ranker

    def _standardise(self, features: Matrix) -> Matrix:
        return np.asarray((_design(features) - self._mean) / self._scale, np.float32)


def _design(features: Matrix) -> Matrix:
    """Compressed features and one indicator per feature of its being missing; ``[n, 2 · features]``."""
    return np.hstack([compress(features), np.isnan(features).astype(np.float32)])
