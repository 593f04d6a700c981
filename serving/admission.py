"""Stage *admit*: a request that fits its recommender's declaration, with ids for the caller's ids."""

from collections.abc import Mapping

from feature_repo.clock import default_as_of
from feature_repo.identity import Vault
from feature_repo.recommender import Recommender
from serving import request_id
from serving.assignment import assigned
from serving.authentication import Caller
from serving.champions import Champions
from serving.contract import RecommendRequest
from serving.draft import Draft
from serving.identity import interned, interned_set, workspace_id
from serving.problems import FieldError, bad_fields, pointer
from serving.wish import errors as wish_errors
from serving.wish import wish


def declared(recommenders: Mapping[str, Recommender], request: RecommendRequest) -> Recommender:
    """The recommender that is asked for, once the request fits it.

    Raises:
        Problem: 404 for an unknown recommender; 422 for a query or context that it does not declare.
    """
    recommender = recommenders.get(request.recommender)
    if recommender is None:
        known = ", ".join(recommenders)
        error = FieldError(pointer="#/recommender", detail=f"is not declared: choose one of {known}")
        raise bad_fields(404, "unknown-recommender", "There is no such recommender", [error])
    errors = [
        *_query_errors(recommender, request),
        *_context_errors(recommender, request),
        *wish_errors(recommender, request),
    ]
    if errors:
        raise bad_fields(422, "invalid-request", "The request does not fit the recommender", errors)
    return recommender


def admit(
    recommenders: Mapping[str, Recommender],
    champions: Champions,
    vault: Vault,
    request: RecommendRequest,
    caller: Caller,
) -> Draft:
    """The draft that the stages start from.

    Raises:
        Problem: what `declared` raises; 400 where the workspace is not clear; 403 where it is not the caller's.
    """
    recommender = declared(recommenders, request)
    workspace = workspace_id(vault, caller.workspace(request.workspace))
    raw = request.query[recommender.query_key]
    instant = request.as_of or default_as_of()
    query_id = interned(vault, workspace, recommender.query_kind, raw)
    experiment, variant = assigned(recommender, query_id, instant)
    scorer, available = champions.serving(recommender.name, variant)
    wanted = wish(recommender, vault, workspace, request)
    return Draft(
        request_id=request_id.new(recommender.name),
        recommender=recommender,
        scorer=scorer,
        workspace_id=workspace,
        instant=instant,
        limit=request.limit,
        context=request.context,
        query_id=query_id,
        excluded=interned_set(vault, workspace, recommender.candidate_kind, request.exclude),
        rung=scorer.rung,
        model_version=scorer.model_version,
        wish=wanted,
        experiment=experiment,
        variant=variant,
        warnings=(
            *(["unknown-candidates"] if wanted.unknown else []),
            *([] if available else ["variant-unavailable"]),
        ),
    )


def _query_errors(recommender: Recommender, request: RecommendRequest) -> list[FieldError]:
    key = recommender.query_key
    errors = [
        FieldError(
            pointer=pointer(("query", other)), detail=f"{recommender.name} does not ask by this: send {key!r}"
        )
        for other in request.query
        if other != key
    ]
    if key not in request.query:
        errors.append(FieldError(pointer=pointer(("query", key)), detail="is required: send who asks"))
    return errors


def _context_errors(recommender: Recommender, request: RecommendRequest) -> list[FieldError]:
    declared_names = ", ".join(recommender.context) or "none"
    return [
        FieldError(
            pointer=pointer(("context", other)),
            detail=f"{recommender.name} declares no such number: remove it (declared: {declared_names})",
        )
        for other in request.context
        if other not in recommender.context
    ]
