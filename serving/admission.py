"""Stage *admit*: a request that fits its recommender's declaration, with ids for the caller's ids."""

from collections.abc import Mapping
from datetime import datetime

from feature_repo.clock import default_as_of
from feature_repo.experiment import Variant
from feature_repo.recommender import Recommender
from serving import page_token, request_id
from serving.assignment import assigned, named
from serving.authentication import Caller
from serving.champions import Champions
from serving.contract import RecommendRequest
from serving.deadline import Claim, Deadline
from serving.draft import Draft
from serving.identity import interned, interned_set, workspace_id
from serving.names import Identities
from serving.problems import FieldError, bad_fields, pointer
from serving.wish import errors as wish_errors
from serving.wish import wish


def find(recommenders: Mapping[str, Recommender], name: str) -> Recommender:
    """The recommender of that name.

    Raises:
        Problem: 404, there is none.
    """
    recommender = recommenders.get(name)
    if recommender is None:
        known = ", ".join(recommenders)
        error = FieldError(pointer="#/recommender", detail=f"is not declared: choose one of {known}")
        raise bad_fields(404, "unknown-recommender", "There is no such recommender", [error])
    return recommender


def declared(recommenders: Mapping[str, Recommender], request: RecommendRequest) -> Recommender:
    """The recommender that is asked for, once the request fits it.

    Raises:
        Problem: 404 for an unknown recommender; 422 for a query or context that it does not declare.
    """
    recommender = find(recommenders, request.recommender)
    errors = [
        *_query_errors(recommender, request),
        *_context_errors(recommender, request),
        *wish_errors(recommender, request),
    ]
    if request.variant is not None and not request.dry_run:
        mend = "is for trying out: send `dry_run: true` with it, or leave it out"
        errors.append(FieldError(pointer=pointer(("variant",)), detail=mend))
    if errors:
        raise _unfit(errors)
    return recommender


def admit(
    recommenders: Mapping[str, Recommender],
    champions: Champions,
    names: Identities,
    request: RecommendRequest,
    caller: Caller,
    deadline: Deadline,
    claim: Claim,
) -> Draft:
    """The draft that the stages start from.

    Raises:
        Problem: what `declared` raises; 400 where the workspace is not clear; 403 where it is not the caller's; 422
            for a variant or a page token that is none.
    """
    recommender = declared(recommenders, request)
    workspace = workspace_id(names, caller.workspace(request.workspace))
    raw = request.query[recommender.query_key]
    instant = request.as_of or default_as_of()
    query_id = interned(names, workspace, recommender.query_kind, raw)
    experiment, variant = _variant(recommender, query_id, instant, request.variant)
    scorer = champions.serving(recommender.name, variant)
    token_key = page_token.own_key(names.token_key(workspace), recommender.name, raw)
    wanted = wish(recommender, names, workspace, request)
    draft = Draft(
        request_id=request_id.new(recommender.name),
        recommender=recommender,
        scorer=scorer,
        lower=champions.below(recommender.name, scorer),
        shadows=tuple(
            (v.name, champions.serving(recommender.name, v))
            for v in _shadows(recommender, experiment, instant)
        ),
        deadline=deadline,
        claim=claim,
        token_key=token_key,
        shown=_shown(token_key, request.page_token),
        workspace_id=workspace,
        instant=instant,
        limit=request.limit,
        context=request.context,
        query_id=query_id,
        excluded=interned_set(names, workspace, recommender.candidate_kind, request.exclude),
        rung=scorer.rung,
        model_version=scorer.model_version,
        wish=wanted,
        experiment=experiment,
        variant=variant,
    )
    if wanted.unknown:
        draft = draft.warn("unknown-candidates")
    return draft if scorer.stands_in is None else draft.degrade(scorer.stands_in)


def _variant(
    recommender: Recommender, query_id: int, instant: datetime, wanted: str | None
) -> tuple[str | None, Variant]:
    if wanted is None:
        return assigned(recommender, query_id, instant)
    found = named(recommender, wanted, instant)
    if found is None:
        mend = f"{recommender.name} has none of that name now: GET /v1/recommenders lists its variants"
        raise _unfit([FieldError(pointer=pointer(("variant",)), detail=mend)])
    return found


def _shadows(recommender: Recommender, experiment: str | None, instant: datetime) -> tuple[Variant, ...]:
    running = recommender.experiment(instant)
    return running.shadows if running is not None and running.name == experiment else ()


def _shown(key: bytes, token: str | None) -> tuple[int, ...]:
    if token is None:
        return ()
    shown = page_token.unseal(key, token)
    if shown is None:
        mend = "is none that was answered to this query: send the next_page_token of the page before, with its query"
        raise _unfit([FieldError(pointer=pointer(("page_token",)), detail=mend)])
    return shown


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
    fields = {field.name: field for field in recommender.context}
    undeclared = (
        f"{recommender.name} declares no such value: remove it (declared: {', '.join(fields) or 'none'})"
    )
    mends = {
        name: fields[name].mend(value) if name in fields else undeclared
        for name, value in request.context.items()
    }
    return [
        FieldError(pointer=pointer(("context", name)), detail=mend) for name, mend in mends.items() if mend
    ]


def _unfit(errors: list[FieldError]) -> Exception:
    return bad_fields(422, "invalid-request", "The request does not fit the recommender", errors)
