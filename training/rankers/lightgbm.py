"""Gradient-boosted trees by LightGBM, trained on the listwise objective LambdaMART (Burges 2010)."""

from pathlib import Path
from typing import Self

import lightgbm
import numpy as np
from numpy.typing import NDArray

from training.rankers import LabelledMatrix, Matrix
from training.rankers.forest import Forest
from training.rankers.lightgbm_trees import as_xgboost

PARAMETERS = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbosity": -1,
}
ROUNDS, PATIENCE = 500, 50


class LightgbmRanker:
    """Score: the sum of the trees. Missing values go the way that each split learned."""

    name = "lightgbm"

    def __init__(self) -> None:
        """Unfitted."""
        self._booster: lightgbm.Booster | None = None
        self._forest: Forest | None = None

    def fit(self, train: LabelledMatrix, validation: LabelledMatrix, seed: int) -> Self:
        """Grow up to `ROUNDS` trees; stop when validation NDCG@10 has not risen for `PATIENCE`."""
        data = lightgbm.Dataset(
            train.features, train.labels, group=train.group_sizes, feature_name=list(train.feature_names)
        )
        watched = data.create_valid(validation.features, validation.labels, group=validation.group_sizes)
        booster = lightgbm.train(
            PARAMETERS | {"seed": seed},
            data,
            ROUNDS,
            valid_sets=[watched],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        self._take(booster)
        return self

    def score(self, features: Matrix) -> NDArray[np.float32]:
        """See `Ranker.score`."""
        assert self._forest is not None, "fit or load first"
        return self._forest.margins(features)

    def contributions(self, features: Matrix) -> Matrix:
        """See `Ranker.contributions`: SHAP values of the trees (Lundberg et al. 2020)."""
        assert self._booster is not None, "fit or load first"
        return np.asarray(self._booster.predict(features, pred_contrib=True, num_threads=1), np.float32)

    def save(self, folder: Path) -> None:
        """See `Ranker.save`."""
        assert self._booster is not None, "fit first"
        self._booster.save_model(folder / "lightgbm.txt", num_iteration=self._booster.best_iteration)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Ranker.load`."""
        return cls.of(lightgbm.Booster(model_file=folder / "lightgbm.txt"))

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> Self:
        """A ranker of trees that are grown."""
        ranker = cls()
        ranker._take(booster)
        return ranker

    def _take(self, booster: lightgbm.Booster) -> None:
        self._booster, self._forest = booster, Forest(as_xgboost(booster.dump_model()))
