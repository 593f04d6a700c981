"""What ``GET /v1/recommenders`` says of one recommender."""

import math
from datetime import datetime

from feature_repo.context import ContextField
from feature_repo.experiment import AS_DECLARED, OUTSIDE, Variant
from feature_repo.recommender import Recommender
from serving.champions import Champions
from serving.contract import ContextDescription, RecommenderDescription, VariantDescription


def describe(recommender: Recommender, champions: Champions, instant: datetime) -> RecommenderDescription:
    """A recommender with what serves it at ``instant``."""
    name, experiment = recommender.name, recommender.experiment(instant)
    champion = champions.serving(name, OUTSIDE)
    arms = {v.name: v for v in (OUTSIDE, AS_DECLARED, *(experiment.variants if experiment else ()))}
    return RecommenderDescription(
        name=name,
        description=recommender.description,
        query_key=recommender.query_key,
        candidate_key=recommender.candidate_key,
        outcome=recommender.outcome.name,
        context=[_context(field) for field in recommender.context],
        sources=[source.column for source in recommender.sources],
        attributes=sorted(recommender.attribute_names),
        alike_by=list(recommender.alike_by),
        model_version=champion.model_version,
        rung=champion.rung,
        since=champion.since,
        deadline_ms=math.ceil(recommender.deadline.total_seconds() * 1000),
        experiment=experiment.name if experiment else None,
        variants=[_variant(name, arm, champions) for arm in arms.values()],
    )


def _variant(name: str, variant: Variant, champions: Champions) -> VariantDescription:
    scorer = champions.serving(name, variant)
    return VariantDescription(
        name=variant.name, model_version=scorer.model_version, rung=scorer.rung, shadow=variant.shadow
    )


def _context(field: ContextField) -> ContextDescription:
    return ContextDescription(
        name=field.name,
        type=field.type,
        description=field.description,
        low=field.low if math.isfinite(field.low) else None,
        high=field.high if math.isfinite(field.high) else None,
        choices=list(field.choices),
    )
