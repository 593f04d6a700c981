"""Stages *hydrate* and *score*: what is known of the candidates, and how good they are by it."""

import time

import numpy as np
from numpy.typing import NDArray

from feature_repo.errors import RecommendError
from serving.draft import Draft
from serving.faults import Faults
from serving.scorer import Scorer
from serving.store import OnlineFeatures


def hydrate(store: OnlineFeatures, draft: Draft) -> Draft:
    """Read the candidates' features."""
    if not len(draft.candidates.ids):
        return draft.but(features=np.zeros((0, len(draft.recommender.feature_names)), np.float32))
    features = store.features(draft.recommender, draft.query_id, draft.candidates.ids, draft.instant)
    read = draft.but(features=features)
    nothing = (
        np.isnan(features[0]).all() and np.isnan(features).all()
    )  # in two steps, as the first is seldom true
    return read.warn("nothing-known") if nothing else read


def hydrate_if_asked(store: OnlineFeatures, draft: Draft) -> Draft:
    """Stage *hydrate* where nothing is ranked: features are missing, unless the request looks at them itself."""
    if not draft.wish.needs_features:
        return unread(draft)
    try:
        return hydrate(store, draft)
    except Exception:  # reported where ranking failed, or will be there
        return unread(draft.degrade("store-failed"))


def unread(draft: Draft) -> Draft:
    """Stage *hydrate* where nothing can be read. A filter holds for nobody then, as nobody can be shown to pass it."""
    shape = len(draft.candidates.ids), len(draft.recommender.feature_names)
    without = draft.but(features=np.full(shape, np.nan, np.float32))
    if draft.wish.filter is None:
        return without
    return without.take(np.zeros(0, np.intp)).warn("unverified-filter")


def score(faults: Faults, draft: Draft) -> Draft:
    """Give every candidate its score.

    A scorer that fails, or that there is no time for, gives way to the next rung of the ladder.

    Raises:
        Exception: the last rung's error.
    """
    if not len(draft.candidates.ids):
        return draft
    if draft.shadows:
        draft = draft.but(pool=draft)
    ladder = (draft.scorer, *draft.lower)
    for scorer in ladder:
        last = scorer is ladder[-1]
        if not last and scorer.pace.expected > draft.deadline.patience:
            scorer.pace.passed_over()
            draft = draft.degrade("model-slow")
            continue
        try:
            scores = _scores(scorer, draft)
        except Exception as error:
            faults.report(_part(draft), error)
            if last:
                raise
            draft = draft.degrade("model-failed")
            continue
        if scorer is ladder[0]:
            faults.working(_part(draft))
        return draft.ranked_by(scorer).but(scores=scores)
    raise AssertionError("a ladder has a last rung")


def score_by_the_last(draft: Draft) -> Draft:
    """Stage *score* on remembered rows: by the ladder's last rung, the declared heuristic."""
    if not len(draft.candidates.ids):
        return draft
    scorer = (draft.scorer, *draft.lower)[-1]
    return draft.ranked_by(scorer).but(scores=_scores(scorer, draft))


def _scores(scorer: Scorer, draft: Draft) -> NDArray[np.float32]:
    begun = time.perf_counter()
    scores = scorer.ranker.score(draft.features)
    scorer.pace.took(time.perf_counter() - begun)
    if not np.isfinite(scores).all():
        raise RecommendError(
            f"{draft.recommender.name}:{scorer.model_version} gave a score that is no finite number: "
            "promote another version"
        )
    return scores


def _part(draft: Draft) -> str:
    return f"the model of {draft.recommender.name}, {draft.variant.name}"
