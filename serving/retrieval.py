"""Stages *retrieve* and *exclude*: who may be answered."""

from dataclasses import replace

import numpy as np

from feature_repo.candidates import merge
from feature_repo.identity import UNKNOWN
from serving.draft import Candidates, Draft
from serving.store import OnlineFeatures


class NothingKnown(Exception):
    """About this query no candidate list is known: a stranger, or somebody who has done nothing yet."""


def retrieve(store: OnlineFeatures, draft: Draft) -> Draft:
    """Read the candidate lists of who asks, and merge them.

    Raises:
        NothingKnown: there are none.
    """
    lists = None
    if draft.query_id != UNKNOWN:
        lists = store.candidate_lists(draft.recommender, draft.query_id, draft.instant)
    if lists is None:
        raise NothingKnown
    named = merge(lists, draft.recommender.sources)
    return replace(draft, candidates=Candidates(np.array(list(named), np.int64), tuple(named.values())))


def exclude(draft: Draft) -> Draft:
    """Drop what the caller does not want, and the asker themselves: ids of all kinds share one sequence."""
    unwanted = [*draft.excluded, draft.query_id]
    kept = np.flatnonzero(~np.isin(draft.candidates.ids, unwanted))
    return replace(draft, candidates=draft.candidates.take(kept))
