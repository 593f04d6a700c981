"""Stages *retrieve* and *exclude*: who may be answered."""

from dataclasses import replace

import numpy as np

from feature_repo.candidates import merge
from feature_repo.identity import UNKNOWN
from serving.draft import Candidates, Draft
from serving.store import OnlineFeatures

CALLER = "caller"
"""The source of candidates that the request brought along."""


class NothingKnown(Exception):
    """About this query no candidate list is known: a stranger, or somebody who has done nothing yet."""


def retrieve(store: OnlineFeatures, draft: Draft) -> Draft:
    """Read the candidate lists of who asks, and merge them; with the caller's own candidates, or those alone.

    Raises:
        NothingKnown: there are none.
    """
    if draft.wish.instead:
        return replace(draft, candidates=offered(draft))
    lists = None
    if draft.query_id != UNKNOWN:
        lists = store.candidate_lists(draft.recommender, draft.query_id, draft.instant)
    if lists is None:
        raise NothingKnown
    named = merge(lists, draft.recommender.sources)
    found = Candidates(np.array(list(named), np.int64), tuple(named.values()))
    return replace(draft, candidates=joined(found, offered(draft)))


def joined(found: Candidates, others: Candidates) -> Candidates:
    """Those found, and those of the others that are not among them; who is both has the sources of both."""
    if not len(others.ids):
        return found
    sources = dict(zip(found.ids.tolist(), found.sources, strict=True))
    for candidate, source in zip(others.ids.tolist(), others.sources, strict=True):
        sources[candidate] = (*sources.get(candidate, ()), *source)
    return Candidates(np.array(list(sources), np.int64), tuple(sources.values()))


def offered(draft: Draft) -> Candidates:
    """The candidates that the request brought along."""
    return Candidates(draft.wish.offered, ((CALLER,),) * len(draft.wish.offered))


def exclude(draft: Draft) -> Draft:
    """Drop what the caller does not want, and the asker themselves: ids of all kinds share one sequence."""
    unwanted = [*draft.excluded, draft.query_id]
    kept = np.flatnonzero(~np.isin(draft.candidates.ids, unwanted))
    return replace(draft, candidates=draft.candidates.take(kept))
