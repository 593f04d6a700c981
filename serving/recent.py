"""Who was shown what lately, for the stage *discount*. In memory, and learned from the log at the start."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from serving.draft import Draft

MOST_ASKERS = 50_000
HALF_LIVES = 7
"""After so many an impression counts less than 1 %, and is forgotten."""

_LEAST = 0.5**HALF_LIVES
_Key = tuple[str, int]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Impressions of one asker, as they count at one instant.

    Args:
        at: The instant.
        ids: Candidate ids, int64 ``[seen]``, ascending.
        weights: How many impressions of just now they are worth, ``[seen]``.
        request_id: The latest answer among them.
        before: The same without that answer.
    """

    at: datetime
    ids: NDArray[np.int64]
    weights: NDArray[np.float64]
    request_id: int = 0
    before: "_Seen | None" = None

    def faded(self, until: datetime, half_life: timedelta) -> "_Seen":
        """The same at a later instant."""
        weights = self.weights * 0.5 ** ((until - self.at) / half_life)
        kept = weights > _LEAST
        return _Seen(until, self.ids[kept], weights[kept])


_NONE = np.zeros(0, np.int64), np.zeros(0)


class RecentImpressions:
    """Impressions by recommender and asker, the least recently used forgotten first. For any threads.

    Another worker process's impressions are known from the next start on.
    """

    def __init__(self, most_askers: int = MOST_ASKERS) -> None:
        """Nobody has seen anything."""
        self._lock = threading.Lock()
        self._seen: LRUCache[_Key, _Seen] = LRUCache(most_askers)

    def add(
        self,
        recommender: str,
        query_id: int,
        at: datetime,
        shown: Iterable[int],
        half_life: timedelta,
        request_id: int = 0,
    ) -> None:
        """Somebody was shown these. Where time has gone back, as in a replay that begins anew, so has memory."""
        fresh = np.unique(np.fromiter(shown, np.int64))
        with self._lock:
            before = self._seen.get((recommender, query_id))
            old = _Seen(at, *_NONE) if before is None or before.at > at else before.faded(at, half_life)
            ids = np.union1d(old.ids, fresh)
            weights = np.zeros(len(ids))
            weights[np.searchsorted(ids, old.ids)] = old.weights
            weights[np.searchsorted(ids, fresh)] += 1
            self._seen[recommender, query_id] = _Seen(at, ids, weights, request_id, old)

    def weights(self, draft: Draft) -> NDArray[np.float64]:
        """For each candidate of a draft, how many impressions of just now its impressions are worth; ``[candidates]``.

        Those of the draft's own answer, which a shadow is compared with, do not count.
        """
        ids, declared = draft.candidates.ids, draft.recommender.discount
        with self._lock:
            seen = self._seen.get((draft.recommender.name, draft.query_id))
        if seen is not None and seen.request_id == draft.request_id:
            seen = seen.before
        if seen is None or declared is None or seen.at > draft.instant or not len(seen.ids):
            return np.zeros(len(ids))
        now = seen.faded(draft.instant, declared.half_life)
        if not len(now.ids):
            return np.zeros(len(ids))
        places = np.minimum(np.searchsorted(now.ids, ids), len(now.ids) - 1)
        return np.where(now.ids[places] == ids, now.weights[places], 0.0)
