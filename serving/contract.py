"""What goes over HTTP: the requests and answers of ``/v1``, with their bounds. The one source of the OpenAPI document."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from feature_repo.clock import EARLIEST, now, parse_instant
from feature_repo.errors import RecommendError
from serving import request_id

MAX_ID, MAX_LIMIT, MAX_BATCH = 256, 100, 1000


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError('should be text such as "2025-08-01T12:00:00Z"')
    try:
        instant = parse_instant(value)
    except (RecommendError, OverflowError):
        raise ValueError('is not an instant: send, for example, "2025-08-01T12:00:00Z"') from None
    if not EARLIEST <= instant <= now() + timedelta(days=1):
        raise ValueError(f"should be between {EARLIEST:%Y-%m-%d} and now")
    return instant


Instant = Annotated[datetime, BeforeValidator(_instant)]
RawId = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_ID)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Tenanted(_Strict):
    workspace: Name | None = Field(
        default=None,
        description="The tenant, by the name it was ingested under; needed where the server holds several",
        examples=["acme"],
    )


class Candidates(_Strict):
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


class RecommendRequest(_Tenanted):
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
    diversity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="How much likeness to the items above counts against an item, by the features that the recommender "
        "declares: 0 ranks by score alone, 1 by unlikeness alone",
        examples=[0.3],
    )
    caps: dict[Annotated[str, Field(max_length=MAX_ID)], Annotated[int, Field(ge=1, le=MAX_LIMIT)]] = Field(
        default={},
        max_length=8,
        description="How many items may share a value of an attribute: `source` (the first that named an item) or a "
        "served feature",
        examples=[{"source": 5}],
    )
    explain: bool = Field(default=False, description="Give reasons with every item", examples=[True])
    dry_run: bool = Field(
        default=False, description="Answer, and log nothing: for trying things out", examples=[False]
    )
    context: dict[Annotated[str, Field(max_length=MAX_ID)], FiniteFloat] = Field(
        default={},
        max_length=64,
        description="Request-time numbers that the recommender declares",
        examples=[{"local_hour": 14}],
    )
    as_of: Instant | None = Field(
        default=None,
        description="The instant that the request is made as of, for replays; UTC unless it has an offset; default now",
        examples=["2025-08-01T12:00:00Z"],
    )


class ExplainRequest(RecommendRequest):
    """A request for recommendations, and the candidate in question. Nothing is logged."""

    candidate: RawId = Field(description="Your id of the candidate", examples=["C42"])


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
        examples=["found by by_comembership; user channel affinity comembership 3.5 (+0.82)"],
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
        "`ranking-failed`, `naming-failed`, `unknown-candidates`, `unverified-filter`, `variant-unavailable`",
        examples=[["unknown-candidates"]],
    )
    timings_ms: dict[str, float] = Field(
        description="Milliseconds that each stage took",
        examples=[{"retrieve": 0.1, "hydrate": 0.6, "score": 0.9}],
    )
    items: list[Item] = Field(description="Best first; may be shorter than `limit`, or empty")


Verdict = Literal[
    "shown",
    "unknown",
    "not-retrieved",
    "excluded",
    "filtered",
    "capped",
    "outranked",
    "forgotten",
    "displaced",
]


class StageCount(BaseModel):
    """How many candidates a stage left."""

    stage: str = Field(description="Its name", examples=["filter"])
    candidates: int = Field(description="How many were left after it", examples=[217])


class Rival(BaseModel):
    """The last item that was shown, which an outranked candidate did not beat."""

    id: str = Field(description="Your id of it", examples=["C17"])
    rank: int = Field(description="Its position in the answer", examples=[10])
    score: float = Field(description="Its score", examples=[1.21])
    ahead_by: list[Reason] = Field(
        description="The features by which it has the better score, with the values of the candidate in question"
    )


class ExplainResponse(BaseModel):
    """Why a candidate is, or is not, in the answer."""

    verdict: Verdict = Field(
        description="`shown`; `unknown` here; `not-retrieved` by any source; `excluded` by the request, or the asker "
        "themselves; `filtered` by the request's filter; `capped` by its caps; `outranked`; `forgotten`, its id was "
        "erased; `displaced` by exploration",
        examples=["outranked"],
    )
    detail: str = Field(
        description="The same as a person reads it",
        examples=["ranked 14th, and 10 items are shown: C17 is the last"],
    )
    rank: int | None = Field(description="Its position in the whole ranking; 1 is the top", examples=[14])
    score: float | None = Field(description="Its score, once it was scored", examples=[0.93])
    sources: list[str] = Field(description="The sources that named it", examples=[["by_neighbours"]])
    reasons: list[Reason] = Field(description="The features that raised its score most")
    beaten_by: Rival | None = Field(
        description="Where it was outranked",
        examples=[{"id": "C17", "rank": 10, "score": 1.21, "ahead_by": []}],
    )
    rung: str = Field(description="What ranked", examples=["lightgbm"])
    model_version: str = Field(description="Of the scorer", examples=["y2fvkdq4usq2sjvo"])
    stages: list[StageCount] = Field(description="How many candidates were left after each stage, in order")


class OutcomeEvent(_Strict):
    """What somebody did with one item."""

    event_id: RawId = Field(
        description="Your own id of this event: the same one again is a duplicate", examples=["evt-8841"]
    )
    request_id: str = Field(
        description="The answer that the item was part of",
        examples=["3f0a9c51d2e87b460688c9f40"],
        max_length=MAX_ID,
        json_schema_extra={"pattern": request_id.PATTERN},
    )
    id: RawId = Field(description="Your id of the item acted on", examples=["C42"])
    outcome: str = Field(
        description="What was done: the recommender's outcome, `seen` for an item that came into view, or another "
        "word of yours",
        examples=["join"],
        pattern="^[a-z][a-z0-9_]{0,63}$",
    )
    at: Instant | None = Field(
        default=None,
        description="When; UTC unless it has an offset; default now",
        examples=["2025-08-01T12:03:20Z"],
    )


class OutcomesRequest(_Tenanted):
    """A batch of outcomes."""

    events: list[OutcomeEvent] = Field(
        min_length=1, max_length=MAX_BATCH, description="In any order; the batch is taken whole or refused"
    )


class OutcomesResponse(BaseModel):
    """What became of the batch; the five add up to its size."""

    accepted: int = Field(description="In the log, on the disk", examples=[1])
    duplicates: int = Field(
        description="Logged before under the same event id, and not logged again", examples=[0]
    )
    late: int = Field(
        description="Of a time after the recommender's window, counted from the answer; stored apart",
        examples=[0],
    )
    unknown: int = Field(
        description="Well-formed, but with a request id of no recommender here; stored apart", examples=[0]
    )
    dropped: int = Field(
        description="Not stored, as the log's disk is full or hangs: send them again later, under the same "
        "event id",
        examples=[0],
    )


class PartHealth(BaseModel):
    """One part that the answers lean on."""

    part: str = Field(description="Which", examples=["the event log"])
    state: Literal["working", "failing"] = Field(description="How its latest use went", examples=["failing"])
    since: datetime = Field(
        description="Since when it is in that state", examples=[datetime(2025, 8, 1, tzinfo=UTC)]
    )
    detail: str | None = Field(
        description="Why it fails", examples=["OSError: [Errno 28] No space left on device"]
    )


class HealthResponse(BaseModel):
    """How the worker that answered is; it answers requests in any case."""

    ready: bool = Field(
        description="Whether every part works; else answers may be degraded, or rows unlogged",
        examples=[False],
    )
    parts: list[PartHealth] = Field(description="All that were used since the start, by name")
    unlogged_rows: int = Field(
        description="Rows of impressions and outcomes given up since the start, as the disk did not take them",
        examples=[0],
    )
    waiting_rows: int = Field(
        description="Rows that the disk has not taken yet; they are kept in memory and tried again",
        examples=[30],
    )


class RecommenderDescription(BaseModel):
    """One declared recommender and what serves it."""

    name: str = Field(description="What POST /v1/recommend takes", examples=["channel_browser"])
    description: str = Field(description="What it is for", examples=["What a user may want to join"])
    query_key: str = Field(description="The key of `query`", examples=["user_id"])
    candidate_key: str = Field(description="What the answered ids are ids of", examples=["channel_id"])
    outcome: str = Field(description="What counts as success", examples=["join"])
    context: list[str] = Field(description="Names that `context` may carry", examples=[["local_hour"]])
    sources: list[str] = Field(
        description="Where candidates come from, in order of trust", examples=[["by_comembership"]]
    )
    model_version: str = Field(
        description="What serves now; `declared` is the declaration's heuristic", examples=["declared"]
    )
    rung: str = Field(description="The kind of ranker that serves now", examples=["heuristic"])
    since: datetime | None = Field(
        description="When it was promoted; null for the declared heuristic",
        examples=[datetime(2025, 8, 1, tzinfo=UTC)],
    )


class RecommendersResponse(BaseModel):
    """All declared recommenders."""

    recommenders: list[RecommenderDescription] = Field(description="In the order of their declaration")
