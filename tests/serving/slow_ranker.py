"""An XGBoost ranker that takes ``SLOW_RANKER`` seconds more, for one service: put first on its path as ``sitecustomize``.

A model with so many trees would take as long only on one machine, and on another be fast enough.
"""

import os
import sys
import time

from training.rankers import Matrix

if any("worker.service" in word for word in sys.orig_argv):
    from training.rankers.xgboost import XgboostRanker

    _score = XgboostRanker.score

    def _slow_score(self: XgboostRanker, features: Matrix) -> Matrix:
        time.sleep(float(os.environ["SLOW_RANKER"]))
        return _score(self, features)

    XgboostRanker.score = _slow_score  # type: ignore[method-assign]
