"""``/v1/recommend`` and its batch form."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from serving import request_id
from serving.contract.base import (
    MAX_BATCH,
    MAX_ID,
    MAX_LIMIT,
    MAX_REQUESTS,
    MAX_TOKEN,
    Instant,
    Moment,
    Name,
    RawId,
    Strict,
    Tenanted,
)
from serving.problems import ProblemDetails


class Candidates(Strict):
    """Candidates of the caller's own."""

    ids: list[RawId] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Your ids; unknown ones are left out",
        examples=[["C3", "C9"]],
    )
    mode: Literal["instead", "also"] = Field(
        default="instead",
        description="Whether they stand instead of the sources' candidates or beside them",
        examples=["also"],
    )


class RecommendRequest(Tenanted):
    """Who asks for what."""

    recommender: Name = Field(
        description="One of those that GET /v1/recommenders lists", examples=["channel_browser"]
    )
    query: dict[Annotated[str, Field(max_length=MAX_ID)], RawId] = Field(
        description="The asking entity: the recommender's query key and your own id",
        examples=[{"user_id": "U17"}],
        min_length=1,
        max_length=8,
    )
    limit: int = Field(
        default=10, ge=1, le=MAX_LIMIT, description="How many items are wanted at most", examples=[10]
    )
    exclude: list[RawId] = Field(
        default=[],
        max_length=MAX_BATCH,
        description="Your ids of candidates that must not be answered",
        examples=[["C3", "C9"]],
    )
    candidates: Candidates | None = Field(
        default=None,
        description="Candidates of your own, to be ranked instead of the sources' or beside them",
        examples=[{"ids": ["C3", "C9"], "mode": "also"}],
    )
    filter: str | None = Field(
        default=None,
        max_length=1000,
        description="Holds for every answered item: comparisons of served features with and, or, not; "
        "`is_missing(name)` where there is no value",
        examples=["channel_activity__members > 3 and not is_missing(channel_activity__messages_7d)"],
    )
    boost: str | None = Field(
        default=None,
        max_length=1000,
        description="Added to each item's score: arithmetic on served features",
        examples=["0.1 * log1p(channel_activity__newcomers_30d)"],
    )
    diversity: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="How much likeness to the items above counts against an item, by the features that the recommender "
        "declares: 0 ranks by score alone, 1 by unlikeness alone; default as the recommender declares",
        examples=[0.3],
    )
    caps: dict[Annotated[str, Field(max_length=MAX_ID)], Annotated[int, Field(ge=1, le=MAX_LIMIT)]] | None = (
        Field(
            default=None,
            max_length=8,
            description="How many items may share a value of an attribute: `source` (the first that named an item) or a "
            "served feature; default as the recommender declares",
            examples=[{"source": 5}],
        )
    )
    explain: bool = Field(default=False, description="Give reasons with every item", examples=[True])
    dry_run: bool = Field(
        default=False, description="Answer, and log nothing: for trying things out", examples=[False]
    )
    page_token: str | None = Field(
        default=None,
        max_length=MAX_TOKEN,
        description="The `next_page_token` of the page before: answers what follows it, and nothing that was shown. "
        "The other fields stay as they were",
        examples=["AQ3x0pYk1l7mJ0a4QvY2c5ZzCw"],
    )
    deadline_ms: int | None = Field(
        default=None,
        ge=1,
        le=60_000,
        description="Within how many milliseconds the answer is wanted; what is not ready then gives way to what is in "
        "memory. Default as the recommender declares",
        examples=[100],
    )
    variant: str | None = Field(
        default=None,
        max_length=MAX_ID,
        description="Answer by this one of the `variants` that GET /v1/recommenders lists, for trying it out: only "
        "together with `dry_run`",
        examples=["declared"],
    )
    context: dict[Annotated[str, Field(max_length=MAX_ID)], Moment] = Field(
        default={},
        max_length=64,
        description="Request-time values that the recommender declares; a filter or boost names the numbers among them "
        "`context__NAME`",
        examples=[{"local_hour": 14}],
    )
    as_of: Instant | None = Field(
        default=None,
        description="The instant that the request is made as of, for replays; UTC unless it has an offset; default now",
        examples=["2025-08-01T12:00:00Z"],
    )


class Reason(BaseModel):
    """One feature's part in a score."""

    feature: str = Field(description="Its name", examples=["user_channel_affinity__comembership"])
    value: float | None = Field(description="As it was served; null where it was missing", examples=[3.5])
    contribution: float = Field(
        description="What it added to the score: the term of a linear ranker, the SHAP value of trees",
        examples=[0.82],
    )


class Item(BaseModel):
    """One recommended candidate."""

    id: str = Field(description="Your id of the candidate", examples=["C42"])
    rank: int = Field(description="Position in the answer; 1 is the top", examples=[1], ge=1)
    score: float = Field(
        description="What the items are sorted by; compares only within one answer", examples=[2.75]
    )
    propensity: float = Field(
        description="The probability that this very item stands at this rank, over all answers that the policy could "
        "have drawn; 1 where nothing is explored",
        examples=[1.0],
    )
    reasons: list[Reason] = Field(
        default=[],
        description="The features that raised its score most; given where the request asks to `explain`",
    )
    why: str | None = Field(
        default=None,
        description="The same as a person reads it",
        examples=["found by popularity; activity visits 7d 35 (+0.82)"],
    )
    sources: list[str] = Field(
        description="The candidate sources that named it; `caller` for one of your own",
        examples=[["by_comembership", "by_popularity"]],
    )


class RecommendResponse(BaseModel):
    """A ranked list, and what ranked it."""

    request_id: str = Field(
        description="Send it back with outcomes: 25 hexadecimal digits",
        examples=["3f0a9c51d2e87b460688c9f40"],
        pattern=request_id.PATTERN,
    )
    recommender: str = Field(description="As asked for", examples=["channel_browser"])
    model_version: str = Field(
        description="Version of the bundle in service; `declared` is the declaration's heuristic. "
        "Where `rung` is popularity, it did not score these items",
        examples=["y2fvkdq4usq2sjvo"],
    )
    rung: str = Field(
        description="What ranked: heuristic, logistic, lightgbm, xgboost or popularity", examples=["lightgbm"]
    )
    experiment: str | None = Field(
        description="The experiment that the answer belongs to", examples=["explore_a_little"]
    )
    variant: str = Field(
        description="The arm of the experiment; `champion` outside one", examples=["champion"]
    )
    degraded: bool = Field(
        description="Whether a part behind was down, so that this is less than the best answer",
        examples=[False],
    )
    warnings: list[str] = Field(
        description="Codes of what the caller may want to know: `nothing-known` (about who asks: the popular list), "
        "`unknown-candidates`, `unverified-filter` (features could not be read, so nobody is shown to pass). Of a lesser "
        "answer, why: `store-failed`, `ranking-failed`, `model-failed`, `model-slow`, `model-unavailable`, "
        "`variant-unavailable`, `deadline`, `naming-failed`, `identities-failed`; `cached-rows`: ranked by the features "
        "that were read for an earlier request",
        examples=[["unknown-candidates"]],
    )
    timings_ms: dict[str, float] = Field(
        description="Milliseconds that each stage took",
        examples=[{"retrieve": 0.1, "hydrate": 0.6, "score": 0.9}],
    )
    items: list[Item] = Field(description="Best first; may be shorter than `limit`, or empty")
    next_page_token: str | None = Field(
        default=None,
        description="Send it as `page_token` for what follows; null where nothing does",
        examples=["AQ3x0pYk1l7mJ0a4QvY2c5ZzCw"],
    )


class BatchRequest(Strict):
    """Many requests in one call; against the key's rate it counts as many."""

    requests: list[RecommendRequest] = Field(
        min_length=1, max_length=MAX_REQUESTS, description="Each is answered by itself, in this order"
    )


class BatchAnswer(BaseModel):
    """What became of one request: either an answer or a problem."""

    answer: RecommendResponse | None = Field(
        description="The answer that the request would have had alone", examples=[None]
    )
    problem: ProblemDetails | None = Field(
        description="Why there is none, as the request would have been told alone", examples=[None]
    )


class BatchResponse(BaseModel):
    """The answers of a batch."""

    answers: list[BatchAnswer] = Field(description="One for each request, in their order")
