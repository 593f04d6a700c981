"""Who was shown what lately, for the stage *discount*. In memory, and learned from the log at the start.

An impression's weight halves with each half-life. As all fade alike, none is touched for it: later impressions are
written larger instead, and the whole is scaled when it is read (forward decay, G. Cormode et al., ICDE 2009).
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from feature_repo.identity import UNKNOWN
from serving.draft import Draft

MOST_ASKERS = 50_000
AT_ONCE = timedelta(minutes=1)
"""Answers that are no further apart may come in another order than they were asked for."""
HALF_LIVES = 7
"""After so many an impression counts less than 1 %, and is forgotten."""

_LEAST = 0.5**HALF_LIVES
_Key = tuple[str, int]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Impressions of one asker.

    Args:
        origin: The instant at which an impression would be written as 1.
        at: The instant of the latest one.
        ids: Candidate ids, int64 ``[seen]``, ascending.
        weights: How many impressions of ``origin`` they are worth, ``[seen]``.
        request_id: The latest answer among them.
        before: The same without that answer.
    """

    origin: datetime
    at: datetime
    ids: NDArray[np.int64]
    weights: NDArray[np.float64]
    request_id: int = 0
    before: "_Seen | None" = None

    def moved(self, origin: datetime, half_life: timedelta) -> "_Seen":
        """The same from a later origin, without what has faded by then."""
        weights = self.weights * 0.5 ** ((origin - self.origin) / half_life)
        kept = weights > _LEAST
        return _Seen(origin, self.at, self.ids[kept], weights[kept])

    def places(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where each of ``ids`` stands, and whether it does; there is at least one seen."""
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return places, self.ids[places] == ids

    def and_then(self, at: datetime, ids: NDArray[np.int64], worth: float, request_id: int) -> "_Seen":
        """The same with one more answer's ``ids``, each once."""
        old, weights = self.ids, self.weights.copy()
        if len(old):
            places, known = self.places(ids)
            weights[places[known]] += worth
            ids = ids[~known]
        if len(ids):
            old, weights = np.concatenate((old, ids)), np.concatenate((weights, np.full(len(ids), worth)))
            order = np.argsort(old)
            old, weights = old[order], weights[order]
        return _Seen(self.origin, max(at, self.at), old, weights, request_id, replace(self, before=None))


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
        """Somebody was shown these; of a stranger, who may be anybody, nothing is remembered.

        Where time has gone back, as in a replay that begins anew, so has memory.
        """
        if query_id == UNKNOWN:
            return
        with self._lock:
            seen = self._seen.get((recommender, query_id))
            if seen is None or seen.at > at + AT_ONCE:
                seen = _Seen(at, at, np.zeros(0, np.int64), np.zeros(0))
            elif at - seen.origin > HALF_LIVES * half_life:
                seen = seen.moved(at, half_life)
            worth = 2.0 ** ((at - seen.origin) / half_life)
            fresh = np.fromiter(dict.fromkeys(shown), np.int64)
            self._seen[recommender, query_id] = seen.and_then(at, fresh, worth, request_id)

    def weights(self, draft: Draft) -> NDArray[np.float64]:
        """For each candidate of a draft, how many impressions of just now its impressions are worth; ``[candidates]``.

        Those of the draft's own answer, which a shadow is compared with, do not count.
        """
        ids, declared = draft.candidates.ids, draft.recommender.discount
        with self._lock:
            seen = self._seen.get((draft.recommender.name, draft.query_id))
        if seen is not None and seen.request_id == draft.request_id:
            seen = seen.before
        if seen is None or declared is None or seen.at > draft.instant + AT_ONCE or not len(seen.ids):
            return np.zeros(len(ids))
        places, known = seen.places(ids)
        now = seen.weights[places] * 0.5 ** ((draft.instant - seen.origin) / declared.half_life)
        return np.where(known & (now > _LEAST), now, 0.0)
