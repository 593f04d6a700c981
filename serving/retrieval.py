"""Stages *retrieve* and *exclude*: who may be answered."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feature_repo.candidates import cut, union
from feature_repo.identity import UNKNOWN
from serving.draft import CALLER, Candidates, Draft
from serving.store import OnlineFeatures


class NothingKnown(Exception):
    """About this query no candidate list is known: a stranger, or somebody who has done nothing yet."""


def retrieve(store: OnlineFeatures, draft: Draft) -> Draft:
    """Read the candidate lists of who asks, and merge them; with the caller's own candidates, or those alone.

    Raises:
        NothingKnown: there are none.
    """
    if draft.wish.instead:
        return draft.but(candidates=from_lists(draft, (), ()))
    lists = None
    if draft.query_id != UNKNOWN:
        lists = store.candidate_lists(draft.recommender, draft.query_id, draft.instant)
    if lists is None:
        raise NothingKnown
    sources = draft.recommender.sources
    names = [source.column for source in sources]
    return draft.but(candidates=from_lists(draft, names, cut(lists, sources)))


def from_lists(draft: Draft, names: Sequence[str], lists: Sequence[NDArray[np.int64]]) -> Candidates:
    """The candidates of lists from the named sources, and after them those that the request brought along."""
    ids, named = union([*lists, draft.wish.offered])
    return Candidates(ids, named, (*names, CALLER))


def exclude(draft: Draft) -> Draft:
    """Drop what the caller does not want or has seen on a page before, and the asker themselves: ids of all kinds share one sequence."""
    dropped = draft.candidates.ids == draft.query_id
    if draft.excluded or draft.shown:
        dropped |= np.isin(draft.candidates.ids, [*draft.excluded, *draft.shown])
    if not dropped.any():
        return draft
    return draft.but(candidates=draft.candidates.take(np.flatnonzero(~dropped)))
