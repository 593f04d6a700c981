"""The last rung: one popular list a workspace, for strangers and for when a part behind is down."""

from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from feature_repo.errors import RecommendError
from feature_repo.recommender import Recommender
from serving.draft import Draft
from serving.faults import Faults
from serving.retrieval import from_lists
from serving.store import OnlineFeatures

POPULARITY = "popularity"
"""The rung's name."""


class PopularLists:
    """Popular candidates by recommender and workspace; the last list read outlives a store that is down."""

    def __init__(self, store: OnlineFeatures, faults: Faults) -> None:
        """Nothing is read yet."""
        self._store, self._faults = store, faults
        self._last: dict[tuple[str, int], NDArray[np.int64]] = {}

    def read(
        self, recommender: Recommender, workspace_id: int, as_of: datetime
    ) -> tuple[NDArray[np.int64], bool]:
        """Popular candidate ids, best first, int64, and whether the store could say so just now.

        Where it could not, the ids are the last ones read, or none.
        """
        key = (recommender.name, workspace_id)
        with self._faults.watch(f"popularity of {recommender.name}"):
            ids = self._store.popular(recommender, workspace_id, as_of)
            if ids is None:
                raise RecommendError(
                    f"the online store has no {recommender.popular.name} of workspace {workspace_id} that holds at "
                    f"{as_of:%Y-%m-%d %H:%M}: run `recommend tables`, then `feast materialize-incremental`"
                )
            self._last[key] = ids
            return ids, True
        return self._last.get(key, np.zeros(0, np.int64)), False


def popularity(lists: PopularLists, draft: Draft) -> Draft:
    """Stage *popularity*: the popular list as candidates, before the caller's own; or those alone, in its order."""
    ids, fresh = lists.read(draft.recommender, draft.workspace_id, draft.instant)
    if draft.wish.instead:
        ids = ids[np.isin(ids, draft.wish.offered)]
    return replace(
        draft,
        rung=POPULARITY,
        degraded=draft.degraded or not fresh,
        candidates=from_lists(draft, [draft.recommender.popular_column], [ids]),
    )


def keep_order(draft: Draft) -> Draft:
    """Stage *score* of this rung: reciprocal ranks, as the list carries an order only."""
    return replace(draft, scores=(1 / np.arange(1, len(draft.candidates.ids) + 1)).astype(np.float32))
