"""Gradient-boosted trees by XGBoost (Chen & Guestrin 2016), trained on binary log loss."""

from pathlib import Path
from typing import Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from training.rankers import LabelledMatrix, Matrix
from training.rankers.forest import Forest

PARAMETERS = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "learning_rate": 0.05,
    "max_depth": 4,
    "min_child_weight": 20,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "reg_lambda": 5.0,
    "nthread": 2,
}
ROUNDS, PATIENCE = 500, 50


class XgboostRanker:
    """Score: the log-odds. Missing values go the way that each split learned."""

    name = "xgboost"

    def __init__(self) -> None:
        """Unfitted."""
        self._booster: xgboost.Booster | None = None
        self._forest: Forest | None = None

    def fit(self, train: LabelledMatrix, validation: LabelledMatrix, seed: int) -> Self:
        """Grow up to `ROUNDS` trees; stop when validation log loss has not fallen for `PATIENCE`."""
        names = list(train.feature_names)
        booster = xgboost.train(
            PARAMETERS | {"seed": seed},
            xgboost.DMatrix(train.features, train.labels, feature_names=names),
            ROUNDS,
            evals=[
                (xgboost.DMatrix(validation.features, validation.labels, feature_names=names), "validation")
            ],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        self._take(booster[: booster.best_iteration + 1])
        return self

    def score(self, features: Matrix) -> NDArray[np.float32]:
        """See `Ranker.score`."""
        assert self._forest is not None, "fit or load first"
        return self._forest.margins(features)

    def contributions(self, features: Matrix) -> Matrix:
        """See `Ranker.contributions`: SHAP values of the trees (Lundberg et al. 2020)."""
        assert self._booster is not None, "fit or load first"
        rows = xgboost.DMatrix(features, feature_names=self._booster.feature_names, nthread=1)
        return np.asarray(self._booster.predict(rows, pred_contribs=True), np.float32)

    def save(self, folder: Path) -> None:
        """See `Ranker.save`."""
        assert self._booster is not None, "fit first"
        self._booster.save_model(folder / "xgboost.ubj")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Ranker.load`."""
        return cls.of(xgboost.Booster(model_file=folder / "xgboost.ubj"))

    @classmethod
    def of(cls, booster: xgboost.Booster) -> Self:
        """A ranker of trees that are grown."""
        ranker = cls()
        ranker._take(booster)
        return ranker

    def _take(self, booster: xgboost.Booster) -> None:
        self._booster, self._forest = booster, Forest(booster)
