"""Stages *hydrate* and *score*: what is known of the candidates, and their order by it."""

from dataclasses import replace

import numpy as np

from serving.draft import Draft
from serving.store import OnlineFeatures


def hydrate(store: OnlineFeatures, draft: Draft) -> Draft:
    """Read the candidates' features."""
    if not len(draft.candidates.ids):
        return replace(draft, features=np.zeros((0, len(draft.recommender.feature_names)), np.float32))
    features = store.features(draft.recommender, draft.query_id, draft.candidates.ids, draft.instant)
    return replace(draft, features=features)


def hydrate_if_asked(store: OnlineFeatures, draft: Draft) -> Draft:
    """Stage *hydrate* where nothing is ranked: features are missing, unless the request looks at them itself.

    Where they cannot be read, a filter holds for nobody, since nobody can be shown to pass it.
    """
    unread = np.full((len(draft.candidates.ids), len(draft.recommender.feature_names)), np.nan, np.float32)
    if not draft.wish.needs_features:
        return replace(draft, features=unread)
    try:
        return hydrate(store, draft)
    except Exception:  # reported where ranking failed, or will be there
        lesser = replace(draft, features=unread, degraded=True)
        if draft.wish.filter is None:
            return lesser
        nobody = lesser.take(np.zeros(0, np.intp))
        return nobody.warn("unverified-filter")


def score(draft: Draft) -> Draft:
    """Sort by score, best first; of equals, the one retrieved first."""
    if not len(draft.candidates.ids):
        return draft
    scores = draft.scorer.ranker.score(draft.features)
    best_first = np.argsort(-scores, kind="stable")
    return replace(draft, scores=scores).take(best_first)
