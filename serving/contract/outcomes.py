"""``/v1/outcomes``."""

from pydantic import BaseModel, Field

from serving import request_id
from serving.contract.base import MAX_BATCH, MAX_ID, Instant, RawId, Strict, Tenanted


class OutcomeEvent(Strict):
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


class OutcomesRequest(Tenanted):
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
