"""What all requests have in common: their bounds, ids and instants."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from feature_repo.clock import EARLIEST, now, parse_instant
from feature_repo.errors import RecommendError

MAX_ID, MAX_LIMIT, MAX_BATCH, MAX_REQUESTS, MAX_TOKEN = 256, 100, 1000, 50, 16_384
LARGEST = 1e15


def _instant(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError('should be text such as "2025-08-01T12:00:00Z"')
    try:
        instant = parse_instant(value)
    except (RecommendError, OverflowError):
        raise ValueError('is not an instant: send, for example, "2025-08-01T12:00:00Z"') from None
    if not EARLIEST <= instant <= now() + timedelta(days=1):
        raise ValueError(f"should be between {EARLIEST:%Y-%m-%d} and now")
    return instant


def _moment(value: Any) -> Any:
    number = isinstance(value, int | float) and abs(value) <= LARGEST  # which no infinity is, nor NaN
    if number or (isinstance(value, str) and len(value) <= MAX_ID):
        return value
    raise ValueError(f"should be a number up to {LARGEST:g}, true, false, or at most {MAX_ID} characters")


Moment = Annotated[Any, PlainValidator(_moment, json_schema_input_type=bool | float | str)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
RawId = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_ID)]


class Strict(BaseModel):
    """A request: nothing is converted, and no field is passed over."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Tenanted(Strict):
    """A request about one workspace."""

    workspace: Name | None = Field(
        default=None,
        description="The tenant, by the name it was ingested under; needed where the server holds several",
        examples=["acme"],
    )
