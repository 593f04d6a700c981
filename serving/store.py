"""Reads of the online store. The only file of serving that knows Feast."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from feast import FeatureStore
from feast.errors import FeastObjectNotFoundException
from numpy.typing import NDArray

from feature_repo.catalog import feast_repo
from feature_repo.errors import RecommendError
from feature_repo.recommender import Recommender
from training.rankers import Matrix

WORKSPACE_KEY = "workspace_id"
"""Join key of every domain's workspace entity: the column that all tables carry."""

_APPLY = "run `feast apply` on the feature repo, then `feast materialize-incremental`"

CandidateLists = Mapping[str, NDArray[np.int64]]
"""Candidate ids by source column, best first."""


class OnlineFeatures:
    """The online store behind three verbs. Not for use by two threads at a time."""

    def __init__(self) -> None:
        """Nothing is opened before the first read."""
        self._feast: FeatureStore | None = None

    def candidate_lists(self, recommender: Recommender, query_id: int) -> CandidateLists | None:
        """The list of each source, whole; None where the query entity has no row.

        Raises:
            Exception: whatever the store raises when it is down.
        """
        view = recommender.candidates.name
        columns = [source.column for source in recommender.sources]
        row = self._row(view, columns, {recommender.query_key: query_id})
        if all(row[column] is None for column in columns):
            return None
        return {column: np.array(row[column] or [], np.int64) for column in columns}

    def popular(self, recommender: Recommender, workspace_id: int) -> NDArray[np.int64] | None:
        """The workspace's popular candidates, best first, int64; None where there is no row.

        Raises:
            Exception: whatever the store raises when it is down.
        """
        column = recommender.popular_column
        ids = self._row(recommender.popular.name, [column], {WORKSPACE_KEY: workspace_id})[column]
        return None if ids is None else np.array(ids, np.int64)

    def features(self, recommender: Recommender, query_id: int, candidate_ids: NDArray[np.int64]) -> Matrix:
        """What the recommender's rankers see, ``[candidates, feature_names]``, NaN where there is no value.

        Raises:
            RecommendError: the applied feature service lacks a declared feature.
            Exception: whatever the store raises when it is down.
        """
        keys = {
            recommender.query_key: [query_id] * len(candidate_ids),
            recommender.candidate_key: candidate_ids.tolist(),
        }
        answer = self._read(recommender.name, keys)
        if missing := [name for name in recommender.feature_names if name not in answer]:
            raise RecommendError(
                f"the applied feature service {recommender.name} lacks {', '.join(missing)}: {_APPLY}"
            )
        columns = [answer[name] for name in recommender.feature_names]
        return np.ascontiguousarray(np.array(columns, np.float32).T)

    def _row(self, view: str, columns: list[str], keys: dict[str, int]) -> dict[str, Any]:
        answer = self._read([f"{view}:{c}" for c in columns], {k: [v] for k, v in keys.items()})
        return {column: answer[f"{view}__{column}"][0] for column in columns}

    def _read(self, features: str | list[str], keys: dict[str, list[int]]) -> dict[str, list[Any]]:
        """``features`` is a feature service's name, or references ``view:column``."""
        try:
            self._feast = self._feast or FeatureStore(repo_path=str(feast_repo()))
            wanted = self._feast.get_feature_service(features) if isinstance(features, str) else features
            answer: dict[str, list[Any]] = self._feast.get_online_features(
                features=wanted, entity_rows=keys, full_feature_names=True
            ).to_dict()
        except FeastObjectNotFoundException as error:
            self._feast = None
            raise RecommendError(f"{error}: {_APPLY}") from error
        except Exception:
            # Registry and connection may be the broken part: the next read opens them anew.
            self._feast = None
            raise
        return answer
