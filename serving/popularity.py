"""The last rung: one popular list a workspace, for strangers and for when a part behind is down."""

import math
import time
from collections.abc import Callable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from feature_repo.errors import RecommendError
from feature_repo.recommender import Recommender
from serving.draft import Draft
from serving.faults import Faults
from serving.names import Names
from serving.retrieval import from_lists
from serving.store import OnlineFeatures

POPULARITY = "popularity"
"""The rung's name."""
REFRESH_SECONDS, RETRY_SECONDS = 60.0, 5.0
"""How old the list in memory may be, and how soon it is read again where it could not be."""
NAMED = 300
"""Of how many of its items the names are remembered."""

Listing = Callable[[Recommender, int, datetime], tuple[NDArray[np.int64], bool]]
"""Popular candidate ids of a recommender and workspace as of an instant, and whether the store said so just now."""


class PopularLists:
    """Popular candidates by recommender and workspace; the last list that was current outlives a store that is down."""

    def __init__(self, store: OnlineFeatures, names: Names, faults: Faults) -> None:
        """Nothing is read yet."""
        self._store, self._names, self._faults = store, names, faults
        self._last: dict[tuple[str, int], NDArray[np.int64]] = {}
        self._due: dict[tuple[str, int], float] = {}

    def read(
        self, recommender: Recommender, workspace_id: int, as_of: datetime
    ) -> tuple[NDArray[np.int64], bool]:
        """A `Listing`. Where the store could not say, the ids are the current ones, or none. That it has none of some
        other instant, which a request may name, is no fault of the store."""
        try:
            ids = self._store.popular(recommender, workspace_id, as_of)
        except Exception as error:
            self._faults.report(_part(recommender), error)
            key = recommender.name, workspace_id  # that it works again is seen by the next refresh
            self._due[key] = min(self._due.get(key, math.inf), time.monotonic() + RETRY_SECONDS)
            ids = None
        return self.last(recommender, workspace_id, as_of) if ids is None else (ids, True)

    def refresh(self, recommender: Recommender, workspace_id: int, as_of: datetime) -> None:
        """Read the current list again where that was long ago, so that the one in memory is good when it is needed.

        Args:
            recommender: Whose candidates.
            workspace_id: Of which workspace.
            as_of: The service's own instant.
        """
        key, now = (recommender.name, workspace_id), time.monotonic()
        if now < self._due.get(key, -math.inf):
            return
        self._due[key] = now + RETRY_SECONDS
        with self._faults.watch(_part(recommender)):
            ids = self._store.popular(recommender, workspace_id, as_of)
            if ids is None:
                raise RecommendError(
                    f"the online store has no {recommender.popular.name} of workspace {workspace_id} that holds at "
                    f"{as_of:%Y-%m-%d %H:%M}: run `recommend tables`, then `feast materialize-incremental`; or serve "
                    "--as-of an instant of the history that it holds"
                )
            self._last[key] = ids
            self._names.keep(key, recommender.candidate_kind, ids[:NAMED].tolist())
            self._due[key] = now + REFRESH_SECONDS

    def last(
        self, recommender: Recommender, workspace_id: int, as_of: datetime
    ) -> tuple[NDArray[np.int64], bool]:
        """A `Listing` from memory."""
        return self._last.get((recommender.name, workspace_id), np.zeros(0, np.int64)), False


def popularity(listing: Listing, draft: Draft) -> Draft:
    """Stage *popularity*: the popular list as candidates, before the caller's own; or those alone, in its order."""
    ids, fresh = listing(draft.recommender, draft.workspace_id, draft.instant)
    if not (fresh or draft.degraded):
        draft = draft.degrade("store-failed")
    if draft.wish.instead:
        ids = ids[np.isin(ids, draft.wish.offered)]
    return draft.but(
        rung=POPULARITY,
        candidates=from_lists(draft, [draft.recommender.popular_column], [ids]),
    )


def keep_order(draft: Draft) -> Draft:
    """Stage *score* of this rung: reciprocal ranks, as the list carries an order only."""
    return draft.but(scores=(1 / np.arange(1, len(draft.candidates.ids) + 1)).astype(np.float32))


def _part(recommender: Recommender) -> str:
    return f"popularity of {recommender.name}"
