"""What a client asks: each request with its answer, and whether it may be sent again. Sends nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from serving.contract import (
    BatchRequest,
    BatchResponse,
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
    OutcomeEvent,
    OutcomesRequest,
    OutcomesResponse,
    RecommendersResponse,
    RecommendRequest,
    RecommendResponse,
)
from serving.problems import ProblemDetails

Answer = TypeVar("Answer", bound=BaseModel)

_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class ApiError(Exception):
    """The service answered with a problem (RFC 9457).

    Attributes:
        status: The HTTP status.
        problem: What was wrong, in which field, and how to mend it.
        retry_after: Seconds after which to ask again, where the service said so.
    """

    def __init__(self, status: int, problem: ProblemDetails, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {problem.title}: {problem.detail}")
        self.status, self.problem, self.retry_after = status, problem, retry_after

    @property
    def was_refused(self) -> bool:
        """Whether the service turned the request away before it did anything, to be asked again later."""
        return self.status == 429 or (self.status == 503 and self.retry_after is not None)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request that is to be made, and what its answer is."""

    method: str
    path: str
    answer: type[Answer]
    body: BaseModel | None = None
    idempotent: bool = True

    def arguments(self) -> dict[str, Any]:
        """What httpx takes."""
        if self.body is None:
            return {"method": self.method, "url": self.path}
        content = self.body.model_dump_json(exclude_defaults=True).encode()
        headers = {"content-type": "application/json"}
        return {"method": self.method, "url": self.path, "content": content, "headers": headers}

    def read(self, response: httpx.Response) -> Answer:
        """The answer.

        Raises:
            ApiError: it is a problem.
        """
        if response.is_success:
            return self.answer.model_validate_json(response.content)
        retry_after = _seconds(response.headers.get("retry-after"))
        raise ApiError(response.status_code, _problem(response), retry_after)

    def may_be_sent_again(self, error: BaseException) -> bool:
        """Whether the error leaves hope, and a repeat does no harm."""
        if isinstance(error, ApiError):
            return error.was_refused or (self.idempotent and error.status >= 500)
        return isinstance(error, _NEVER_ARRIVED) or (
            self.idempotent and isinstance(error, httpx.TransportError)
        )


@dataclass(frozen=True)
class Settings:
    """How patient a client is.

    Args:
        timeout: Seconds for one attempt.
        attempts: How often a request is sent at most.
        first_wait: Seconds before the second attempt at most; doubles from then on.
        longest_wait: Of one wait.
    """

    timeout: float = 2.0
    attempts: int = 4
    first_wait: float = 0.05
    longest_wait: float = 2.0

    def policy(self, call: Call[Any]) -> dict[str, Any]:
        """What tenacity takes."""
        backoff = wait_random_exponential(self.first_wait, self.longest_wait)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, ApiError) else None
            return backoff(state) if asked is None else min(asked, self.longest_wait)

        return {
            "stop": stop_after_attempt(self.attempts),
            "retry": retry_if_exception(call.may_be_sent_again),
            "wait": wait,
            "reraise": True,
        }


DEFAULT = Settings()


class Calls:
    """What can be asked, without the asking."""

    def __init__(self, workspace: str | None) -> None:
        self._workspace = workspace

    def recommend(
        self, recommender: str, query: Mapping[str, str], options: Mapping[str, Any]
    ) -> Call[RecommendResponse]:
        """Each answer is an impression in the log, but for a dry run's."""
        body = RecommendRequest(**self._asked(recommender, query, options))
        return Call("POST", "/v1/recommend", RecommendResponse, body, idempotent=body.dry_run)

    def recommend_batch(
        self, requests: Sequence[RecommendRequest | Mapping[str, Any]]
    ) -> Call[BatchResponse]:
        """Likewise."""
        asked = [RecommendRequest.model_validate(r) for r in requests]
        body = BatchRequest(requests=[self._of_workspace(r) for r in asked])
        idempotent = all(r.dry_run for r in asked)
        return Call("POST", "/v1/recommend/batch", BatchResponse, body, idempotent)

    def explain(
        self, recommender: str, query: Mapping[str, str], candidate: str, options: Mapping[str, Any]
    ) -> Call[ExplainResponse]:
        """Logs nothing."""
        body = ExplainRequest(**self._asked(recommender, query, options), candidate=candidate)
        return Call("POST", "/v1/explain", ExplainResponse, body)

    def outcomes(self, events: Sequence[OutcomeEvent], workspace: str | None) -> Call[OutcomesResponse]:
        """The same event id again is a duplicate."""
        body = OutcomesRequest(workspace=workspace or self._workspace, events=list(events))
        return Call("POST", "/v1/outcomes", OutcomesResponse, body)

    def recommenders(self) -> Call[RecommendersResponse]:
        """Changes nothing."""
        return Call("GET", "/v1/recommenders", RecommendersResponse)

    def health(self) -> Call[HealthResponse]:
        """Changes nothing."""
        return Call("GET", "/v1/health", HealthResponse)

    def _asked(
        self, recommender: str, query: Mapping[str, str], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {"workspace": self._workspace, "recommender": recommender, "query": dict(query), **options}

    def _of_workspace(self, request: RecommendRequest) -> RecommendRequest:
        if request.workspace is not None or self._workspace is None:
            return request
        return request.model_copy(update={"workspace": self._workspace})


def _problem(response: httpx.Response) -> ProblemDetails:
    try:
        return ProblemDetails.model_validate_json(response.content)
    except ValidationError:  # a proxy's page
        text = response.text.strip()[:200] or "no explanation"
        return ProblemDetails(
            type="about:blank",
            title=response.reason_phrase or "Error",
            status=response.status_code,
            detail=text,
        )


def _seconds(header: str | None) -> float | None:
    """``Retry-After`` in seconds; the form that is a date is not heeded."""
    return float(header) if header is not None and header.isdecimal() else None
