"""Items for users, by 500 candidates or by 100 of them, always exploring."""

from dataclasses import replace
from datetime import timedelta

from benchmarks.serving_domain.entities import item, user
from benchmarks.serving_domain.views.features import (
    item_candidates,
    item_view,
    pair_view,
    popular_items,
    user_view,
)
from feature_repo.discount import Discount
from feature_repo.exploration import EpsilonSwap
from feature_repo.recommender import CandidateSource, Outcome, Recommender

items_500 = Recommender(
    name="items_500",
    description="Items",
    query=user,
    candidate=item,
    candidates=item_candidates,
    sources=(CandidateSource("everything", quota=500),),
    popular=popular_items,
    features=(user_view, item_view, pair_view),
    heuristic={"item_view__f0": 1.0},
    outcome=Outcome(name="take", window=timedelta(days=1), once=False, sql="SELECT 1"),
    exploration=EpsilonSwap(epsilon=0.1),
    discount=Discount(),
    deadline=timedelta(seconds=2),
)
items_100 = replace(items_500, name="items_100", sources=(CandidateSource("everything", quota=100),))
