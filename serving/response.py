"""A finished draft as it goes over HTTP."""

from serving import page_token, request_id
from serving.contract import Item, RecommendResponse
from serving.draft import Draft
from serving.explanation import sentence


def response(draft: Draft) -> RecommendResponse:
    """The answer."""
    found = draft.reasons or [()] * len(draft.names)
    first = len(draft.shown) + 1
    return RecommendResponse(
        request_id=request_id.text(draft.request_id, draft.instant),
        recommender=draft.recommender.name,
        model_version=draft.model_version,
        rung=draft.rung,
        experiment=draft.experiment,
        variant=draft.variant.name,
        degraded=draft.degraded,
        warnings=list(draft.warnings),
        timings_ms={stage: round(seconds * 1000, 3) for stage, seconds in draft.timings.items()},
        items=[
            Item(
                id=raw,
                rank=first + n,
                score=float(draft.scores[n]),
                propensity=float(draft.propensities[n]),
                sources=sources,
                reasons=list(found[n]),
                why=sentence(sources, found[n]) if draft.wish.explain else None,
            )
            for n, (raw, sources) in enumerate(zip(draft.names, draft.candidates.sources, strict=True))
        ],
        next_page_token=_next_page(draft),
    )


def _next_page(draft: Draft) -> str | None:
    shown = (*draft.shown, *draft.candidates.ids.tolist())
    if draft.left <= len(draft.names) or not draft.names or len(shown) > page_token.MOST_SHOWN:
        return None
    return page_token.seal(draft.token_key, shown)
