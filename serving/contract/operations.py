"""``/v1/recommenders`` and ``/v1/health``."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field


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
