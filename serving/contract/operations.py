"""``/v1/recommenders``, ``/v1/ids`` and ``/v1/health``."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from serving.contract.base import MAX_ID, Name, Tenanted


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


class VariantDescription(BaseModel):
    """One way of answering."""

    name: str = Field(
        description="What `variant` of a request takes: `champion`, `declared` (the heuristic), or an arm of the running "
        "experiment",
        examples=["champion"],
    )
    model_version: str = Field(description="Of its ranker", examples=["y2fvkdq4usq2sjvo"])
    rung: str = Field(description="The kind of ranker", examples=["lightgbm"])
    shadow: bool = Field(description="Whether it is scored and logged, but shown to nobody", examples=[False])


class ContextDescription(BaseModel):
    """One value that `context` may carry."""

    name: str = Field(description="Its key", examples=["local_hour"])
    type: Literal["number", "integer", "boolean", "choice"] = Field(
        description="What it takes", examples=["integer"]
    )
    description: str = Field(
        description="What it means, with its unit", examples=["Hour of the day where the asker is"]
    )
    low: float | None = Field(description="The least number, if there is one", examples=[0])
    high: float | None = Field(description="The greatest number, if there is one", examples=[23])
    choices: list[str] = Field(description="The words of a choice", examples=[["web", "mobile"]])


class RecommenderDescription(BaseModel):
    """One declared recommender and what serves it."""

    name: str = Field(description="What POST /v1/recommend takes", examples=["channel_browser"])
    description: str = Field(description="What it is for", examples=["What a user may want to join"])
    query_key: str = Field(description="The key of `query`", examples=["user_id"])
    candidate_key: str = Field(description="What the answered ids are ids of", examples=["channel_id"])
    outcome: str = Field(description="What counts as success", examples=["join"])
    context: list[ContextDescription] = Field(description="The values that `context` may carry")
    sources: list[str] = Field(
        description="Where candidates come from, in order of trust", examples=[["by_comembership"]]
    )
    attributes: list[str] = Field(
        description="What `filter` and `boost` may name",
        examples=[["channel_activity__members", "context__local_hour"]],
    )
    alike_by: list[str] = Field(
        description="The features by which `diversity` tells items apart; none where it cannot be asked for",
        examples=[["channel_activity__members"]],
    )
    model_version: str = Field(
        description="What serves now; `declared` is the declaration's heuristic", examples=["declared"]
    )
    rung: str = Field(description="The kind of ranker that serves now", examples=["heuristic"])
    since: datetime | None = Field(
        description="When it was promoted; null for the declared heuristic",
        examples=[datetime(2025, 8, 1, tzinfo=UTC)],
    )
    deadline_ms: int = Field(
        description="Within how many milliseconds it answers, where a request does not say", examples=[200]
    )
    experiment: str | None = Field(description="The experiment that runs now", examples=["explore_a_little"])
    variants: list[VariantDescription] = Field(description="What a dry run may ask for by name")


class RecommendersResponse(BaseModel):
    """All declared recommenders."""

    recommenders: list[RecommenderDescription] = Field(description="In the order of their declaration")


class IdsRequest(Tenanted):
    """Whose ids are looked for."""

    recommender: Name = Field(
        description="One of those that GET /v1/recommenders lists", examples=["channel_browser"]
    )
    prefix: Annotated[str, Field(max_length=MAX_ID)] = Field(
        default="", description="What they begin with", examples=["U1"]
    )
    kind: Literal["query", "candidate"] = Field(
        default="query",
        description="Whether of those who may ask, or of what may be answered",
        examples=["query"],
    )


class IdsResponse(BaseModel):
    """Ids that are known here, for a person who tries things out."""

    ids: list[str] = Field(description="The first 20, in order", examples=[["U1", "U10", "U11"]])
