"""A typed client of the API, blocking and asyncio. Imports the contract alone: no Feast, no models.

    with Client("https://recommend.internal", key="rk_…") as client:
        answer = client.recommend("channel_browser", {"user_id": "U17"}, limit=5)
        client.outcomes([OutcomeEvent(event_id="evt-1", request_id=answer.request_id, id="C42", outcome="join")])

What may be sent twice without harm is sent again, with exponential backoff and jitter (Brooker 2015, *Exponential
Backoff and Jitter*), where the server cannot be reached, answers 5xx, or asks to wait (429, 503). A recommendation
may not, nor a batch of them: each one is an impression in the log. It is sent again only where it never reached the
server, was refused, or is a dry run.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, Retrying

from serving.calls import DEFAULT, Answer, ApiError, Call, Calls, Settings
from serving.contract import (
    BatchResponse,
    ExplainResponse,
    HealthResponse,
    OutcomeEvent,
    OutcomesResponse,
    RecommendersResponse,
    RecommendRequest,
    RecommendResponse,
)

__all__ = ["ApiError", "AsyncClient", "Client", "Settings"]


class Client:
    """Blocks until it is answered. Threads may share it."""

    def __init__(
        self, url: str, key: str | None = None, workspace: str | None = None, settings: Settings = DEFAULT
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: Of the service, e.g. ``http://127.0.0.1:3000``.
            key: The API key.
            workspace: Sent with every request, where the service holds several and the key names none.
            settings: How patient to be.
        """
        self._settings, self._calls = settings, Calls(workspace)
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=settings.timeout)

    def recommend(self, recommender: str, query: Mapping[str, str], **options: Any) -> RecommendResponse:
        """Ask for recommendations; the options are the other fields of `RecommendRequest`.

        Raises:
            ValidationError: an option does not fit the contract.
            ApiError: the service refused.
            httpx.TransportError: it could not be reached.
        """
        return self._send(self._calls.recommend(recommender, query, options))

    def recommend_batch(self, requests: Sequence[RecommendRequest | Mapping[str, Any]]) -> BatchResponse:
        """Ask many in one call, 50 at most; each is answered in its place, with its answer or its problem.

        Raises:
            ValidationError: none or too many requests.
            ApiError: the service refused the whole.
            httpx.TransportError: it could not be reached.
        """
        return self._send(self._calls.recommend_batch(requests))

    def explain(
        self, recommender: str, query: Mapping[str, str], candidate: str, **options: Any
    ) -> ExplainResponse:
        """Why a candidate is, or is not, in the answer that `recommend` would give. Raises as `recommend`."""
        return self._send(self._calls.explain(recommender, query, candidate, options))

    def outcomes(self, events: Sequence[OutcomeEvent], workspace: str | None = None) -> OutcomesResponse:
        """Tell what came of it, in another workspace than the client's where one is named. Raises as `recommend`."""
        return self._send(self._calls.outcomes(events, workspace))

    def recommenders(self) -> RecommendersResponse:
        """What can be asked for. Raises as `recommend`."""
        return self._send(self._calls.recommenders())

    def health(self) -> HealthResponse:
        """Which parts of the service work. Raises as `recommend`."""
        return self._send(self._calls.health())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[Answer]) -> Answer:
        def once() -> Answer:
            return call.read(self._http.request(**call.arguments()))

        return Retrying(**self._settings.policy(call))(once)


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self, url: str, key: str | None = None, workspace: str | None = None, settings: Settings = DEFAULT
    ) -> None:
        """See `Client`."""
        self._settings, self._calls = settings, Calls(workspace)
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=settings.timeout)

    async def recommend(
        self, recommender: str, query: Mapping[str, str], **options: Any
    ) -> RecommendResponse:
        """See `Client.recommend`."""
        return await self._send(self._calls.recommend(recommender, query, options))

    async def recommend_batch(
        self, requests: Sequence[RecommendRequest | Mapping[str, Any]]
    ) -> BatchResponse:
        """See `Client.recommend_batch`."""
        return await self._send(self._calls.recommend_batch(requests))

    async def explain(
        self, recommender: str, query: Mapping[str, str], candidate: str, **options: Any
    ) -> ExplainResponse:
        """See `Client.explain`."""
        return await self._send(self._calls.explain(recommender, query, candidate, options))

    async def outcomes(
        self, events: Sequence[OutcomeEvent], workspace: str | None = None
    ) -> OutcomesResponse:
        """See `Client.outcomes`."""
        return await self._send(self._calls.outcomes(events, workspace))

    async def recommenders(self) -> RecommendersResponse:
        """See `Client.recommenders`."""
        return await self._send(self._calls.recommenders())

    async def health(self) -> HealthResponse:
        """See `Client.health`."""
        return await self._send(self._calls.health())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: Call[Answer]) -> Answer:
        async def once() -> Answer:
            return call.read(await self._http.request(**call.arguments()))

        answer: Answer = await AsyncRetrying(**self._settings.policy(call))(once)
        return answer


def _headers(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}
