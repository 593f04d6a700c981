"""The rows that were read last for each who asks: what is ranked where the store does not answer in time."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from cachetools import LRUCache

from serving.draft import Candidates, Draft
from training.rankers import Matrix

MOST_BYTES = 32 << 20
FRESH = timedelta(hours=1)
"""Between the instants of the request that the rows were read for and of the one that they answer."""

_Key = tuple[str, int]


class NothingRemembered(Exception):
    """Nobody of this name was answered lately."""


@dataclass(frozen=True, eq=False)
class _Rows:
    instant: datetime
    candidates: Candidates
    features: Matrix

    @property
    def size(self) -> int:
        """Bytes."""
        return self.features.nbytes + self.candidates.ids.nbytes + self.candidates.named.nbytes


class LastRows:
    """Candidates and their features by recommender and query id, the least recently used forgotten first. For any
    threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is remembered yet."""
        self._lock = threading.Lock()
        self._rows: LRUCache[_Key, _Rows] = LRUCache(most_bytes, getsizeof=lambda rows: rows.size)

    def keep(self, draft: Draft) -> None:
        """Remember what was read for a draft, as far as its request does not exclude it, before anything is filtered; of
        pages the first. Candidates that the caller named in place of the sources' are none that another request could
        be answered with."""
        if draft.shown or draft.wish.instead or not len(draft.candidates.ids):
            return
        rows = _Rows(draft.instant, draft.candidates, draft.features)
        if rows.size <= self._rows.maxsize:
            with self._lock:
                self._rows[_key(draft)] = rows

    def recall(self, draft: Draft) -> Draft:
        """Stage *recall*: the candidates and features that are remembered, in place of *retrieve* and *hydrate*.

        Raises:
            NothingRemembered: there are none, or they are of another time, or none of them is wanted.
        """
        with self._lock:
            rows = self._rows.get(_key(draft))
        if rows is None or abs(draft.instant - rows.instant) > FRESH:
            raise NothingRemembered
        known = rows.candidates.with_own(draft.wish.offered)
        kept = np.flatnonzero(known.is_own if draft.wish.instead else known.named)
        if not len(kept):
            raise NothingRemembered
        return draft.but(candidates=known.take(kept), features=rows.features[kept]).warn("cached-rows")


def _key(draft: Draft) -> _Key:
    return draft.recommender.name, draft.query_id
