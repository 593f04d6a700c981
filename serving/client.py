"""A typed client of the API, blocking and asyncio. Imports the contract alone: no Feast, no models.

    with Client("https://recommend.internal", key="rk_…") as client:
        answer = client.recommend("channel_browser", {"user_id": "U17"}, limit=5)
        client.outcomes([OutcomeEvent(event_id="evt-1", request_id=answer.request_id, id="C42", outcome="join")])

What may be sent twice without harm is sent again, with exponential backoff and jitter (Brooker 2015, *Exponential
Backoff and Jitter*), where the server cannot be reached, answers 5xx, or asks to wait (429, 503). A recommendation
may not: each one is an impression in the log. It is sent again only where it never reached the server, or was refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from serving.contract import (
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
class _Call(Generic[Answer]):
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

    def policy(self, call: _Call[Any]) -> dict[str, Any]:
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


class _Calls:
    """What can be asked, without the asking."""

    def __init__(self, workspace: str | None) -> None:
        self._workspace = workspace

    def recommend(
        self, recommender: str, query: Mapping[str, str], options: Mapping[str, Any]
    ) -> _Call[RecommendResponse]:
        asked = {"workspace": self._workspace, "recommender": recommender, "query": dict(query), **options}
        return _Call("POST", "/v1/recommend", RecommendResponse, RecommendRequest(**asked), idempotent=False)

    def outcomes(self, events: Sequence[OutcomeEvent]) -> _Call[OutcomesResponse]:
        body = OutcomesRequest(workspace=self._workspace, events=list(events))
        return _Call("POST", "/v1/outcomes", OutcomesResponse, body)

    def recommenders(self) -> _Call[RecommendersResponse]:
        return _Call("GET", "/v1/recommenders", RecommendersResponse)


class Client:
    """Blocks until it is answered. Threads may share it."""

    def __init__(
        self, url: str, key: str | None = None, workspace: str | None = None, settings: Settings = Settings()
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: Of the service, e.g. ``http://127.0.0.1:3000``.
            key: The API key.
            workspace: Sent with every request, where the service holds several and the key names none.
            settings: How patient to be.
        """
        self._settings, self._calls = settings, _Calls(workspace)
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=settings.timeout)

    def recommend(self, recommender: str, query: Mapping[str, str], **options: Any) -> RecommendResponse:
        """Ask for recommendations; the options are the other fields of `RecommendRequest`.

        Raises:
            ValidationError: an option does not fit the contract.
            ApiError: the service refused.
            httpx.TransportError: it could not be reached.
        """
        return self._send(self._calls.recommend(recommender, query, options))

    def outcomes(self, events: Sequence[OutcomeEvent]) -> OutcomesResponse:
        """Tell what came of it. Raises as `recommend`."""
        return self._send(self._calls.outcomes(events))

    def recommenders(self) -> RecommendersResponse:
        """What can be asked for. Raises as `recommend`."""
        return self._send(self._calls.recommenders())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: _Call[Answer]) -> Answer:
        def once() -> Answer:
            return call.read(self._http.request(**call.arguments()))

        return Retrying(**self._settings.policy(call))(once)


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self, url: str, key: str | None = None, workspace: str | None = None, settings: Settings = Settings()
    ) -> None:
        """See `Client`."""
        self._settings, self._calls = settings, _Calls(workspace)
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=settings.timeout)

    async def recommend(
        self, recommender: str, query: Mapping[str, str], **options: Any
    ) -> RecommendResponse:
        """See `Client.recommend`."""
        return await self._send(self._calls.recommend(recommender, query, options))

    async def outcomes(self, events: Sequence[OutcomeEvent]) -> OutcomesResponse:
        """See `Client.outcomes`."""
        return await self._send(self._calls.outcomes(events))

    async def recommenders(self) -> RecommendersResponse:
        """See `Client.recommenders`."""
        return await self._send(self._calls.recommenders())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: _Call[Answer]) -> Answer:
        async def once() -> Answer:
            return call.read(await self._http.request(**call.arguments()))

        answer: Answer = await AsyncRetrying(**self._settings.policy(call))(once)
        return answer


def _headers(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


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
