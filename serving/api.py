"""The HTTP routes under ``/v1``: bytes in, an answer or a problem out."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving import problems
from serving.contract import (
    BatchAnswer,
    BatchRequest,
    BatchResponse,
    ExplainRequest,
    IdsRequest,
    OutcomesRequest,
    RecommendRequest,
)
from serving.deadline import NEVER, Claim, Deadline
from serving.openapi import document
from serving.problems import FieldError, Problem, pointer

if TYPE_CHECKING:
    from serving.authentication import Caller, Gate
    from serving.engine import Answer, Engine
    from serving.keys import Scope as KeyScope
    from serving.turn import Threads

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 30.0
"""For how long a body may be on its way."""
CROWDED, RECONNECT = 2, 1 / 16
"""Where there are several workers and more than so much work waits in this one, the share of answers after which the client
is to connect anew. One worker may have taken all of a burst of connections, while the others have nothing to do."""
PATIENCE = 2.0
"""Seconds for an explanation, before that of the answer from memory is given."""

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")

logger = logging.getLogger("bentoml.recommend")


class Api:
    """The ASGI application. Not itself a Starlette: BentoML looks into one for its routes, and would answer
    a path that it does not find there in its own way instead of by a problem."""

    engine: "Engine"
    """Set when the service starts, before the first request."""
    gate: "Gate"
    """Likewise."""
    threads: "Threads"
    """Likewise."""
    workers = 1
    """How many processes answer at this address."""

    def __init__(self) -> None:
        """Lay out the routes."""
        self._openapi = document(version("recommend"))
        self._app = Starlette(
            routes=[
                Route("/recommend", self._for("recommend", self._recommend), methods=["POST"]),
                Route("/recommend/batch", self._for("recommend", self._batch), methods=["POST"]),
                Route("/explain", self._for("recommend", self._explain), methods=["POST"]),
                Route("/outcomes", self._for("outcomes", self._outcomes), methods=["POST"]),
                Route("/recommenders", self._for("recommend", self._recommenders), methods=["GET"]),
                Route("/ids", self._for("admin", self._ids), methods=["GET"]),
                Route("/health", self._for("admin", self._health), methods=["GET"]),
                Route("/openapi.json", self._document, methods=["GET"]),
            ],
            exception_handlers={
                Problem: _problem,
                HTTPException: _http_problem,
                ClientDisconnect: _nobody,
                Exception: _defect,
            },
        )
        # A redirection would name the host that the request names.
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        await self._app(scope, receive, send)

    def _for(
        self, scope: "KeyScope", answer: Callable[[Request, "Caller"], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The route for those callers whose key has the scope; their body is not read before that is known."""

        async def route(request: Request) -> Response:
            return await answer(request, self.gate.admit(request.scope, scope))

        return route

    async def _recommend(self, request: Request, caller: "Caller") -> Response:
        body, received = await _body(request), time.monotonic()
        wanted = parse(RecommendRequest, body)
        deadline = self.engine.deadline(wanted, received)
        answer = await self._answer(wanted, caller, deadline)
        try:
            response = _json(answer.response)
            if self.workers > 1 and self.threads.ranking.waiting > CROWDED and random.random() < RECONNECT:
                response.headers["Connection"] = "close"
            await self.engine.logged(deadline)
        finally:
            # Not before: it would keep the interpreter from what the answer waits for.
            self._follow(answer)
        return response

    async def _batch(self, request: Request, caller: "Caller") -> Response:
        batch = parse(BatchRequest, await _body(request))
        self.gate.charge(caller, len(batch.requests) - 1)
        answers = [await self._one_of(wanted, caller) for wanted in batch.requests]
        await self.engine.logged(NEVER)
        return _json(BatchResponse(answers=answers))

    async def _one_of(self, wanted: RecommendRequest, caller: "Caller") -> BatchAnswer:
        """A turn and a deadline for each, so that other callers' requests come between those of a batch."""
        try:
            answer = await self._answer(wanted, caller, self.engine.deadline(wanted))
        except Problem as problem:
            return BatchAnswer(answer=None, problem=problem.details)
        self._follow(answer)
        return BatchAnswer(answer=answer.response, problem=None)

    async def _answer(self, wanted: RecommendRequest, caller: "Caller", deadline: Deadline) -> "Answer":
        claim = Claim()
        return await _guarded(
            self.threads.ranking.within(
                deadline,
                claim,
                lambda: self.engine.recommend(wanted, caller, deadline, claim),
                lambda: self.engine.rescue(wanted, caller, deadline),
            )
        )

    def _follow(self, answer: "Answer") -> None:
        self.threads.ranking.follow(answer.afterwards)
        if answer.beside is not None:
            self.threads.shadowing.follow(answer.beside)

    async def _explain(self, request: Request, caller: "Caller") -> Response:
        asked = parse(ExplainRequest, await _body(request))
        claim = Claim()
        explanation = await _guarded(
            self.threads.ranking.within(
                Deadline.within(PATIENCE),
                claim,
                lambda: self.engine.explain(asked, caller, claim),
                lambda: self.engine.rescued_explanation(asked, caller),
            )
        )
        return _json(explanation)

    async def _outcomes(self, request: Request, caller: "Caller") -> Response:
        events = parse(OutcomesRequest, await _body(request))
        recording = await _guarded(self.threads.recording.run(lambda: self.engine.record(events, caller)))
        return _json(await self.engine.acknowledge(recording))

    async def _recommenders(self, request: Request, caller: "Caller") -> Response:
        return _json(self.engine.describe())

    async def _ids(self, request: Request, caller: "Caller") -> Response:
        asked = parse_query(IdsRequest, request)
        return _json(await _guarded(self.threads.recording.run(lambda: self.engine.ids(asked, caller))))

    async def _health(self, request: Request, caller: "Caller") -> Response:
        return _json(self.engine.health())

    async def _document(self, request: Request) -> Response:
        return JSONResponse(self._openapi)


async def _guarded(work: Awaitable[Result]) -> Result:
    try:
        return await work
    except Problem:
        raise
    except Exception as error:
        # Its text may quote the request, whose ids must not reach a log.
        logger.error("a request failed in the service itself: %s", _place(error))
        raise defect() from None


def parse(contract: type[Body], body: bytes) -> Body:
    """The request in a body.

    Raises:
        Problem: 400 where it is no JSON, 422 where it does not fit the contract.
    """
    try:
        return contract.model_validate_json(body)
    except ValidationError as error:
        raise problems.invalid(error) from None


def parse_query(contract: type[Body], request: Request) -> Body:
    """The request in a query string.

    Raises:
        Problem: 422 where it does not fit the contract.
    """
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise problems.misfit(
            [FieldError(pointer=pointer((name,)), detail="is given twice: send it once") for name in twice]
        )
    try:
        return contract.model_validate(dict(given))
    except ValidationError as error:
        raise problems.invalid(error) from None


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Problem(
            415,
            "encoded",
            "The body is encoded",
            f"Content-Encoding: {encoding!r} is not read: send plain JSON",
        )
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole(request)
    except TimeoutError:
        late = f"the body: it was not whole after {BODY_SECONDS:.0f} s: send it in one go"
        raise Problem(
            408, "too-slow", "The body takes too long", late, headers={"Connection": "close"}
        ) from None


async def _whole(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Problem(
                413,
                "too-large",
                "The body is too large",
                f"the body: send at most {MAX_BODY_BYTES} bytes; split a batch",
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _place(error: Exception) -> str:
    """Kind and place of an error, without its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else "an unknown place"
    return f"{type(error).__name__} in {where}"


def defect() -> Problem:
    """500: nothing that the caller could mend."""
    return Problem(500, "defect", "A defect of the service", "Report it with the service's log")


def _defect(request: Request, error: Exception) -> Response:
    return problems.response(defect())


def _nobody(request: Request, error: Exception) -> Response:
    """The client has gone in the middle of its body: nobody reads this."""
    return Response(status_code=400)


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problems.response(error)


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    mend = "see /v1/openapi.json for the paths and their methods"
    kind = error.detail.lower().replace(" ", "-")
    problem = Problem(error.status_code, kind, error.detail, f"{asked} is not served: {mend}")
    return problems.response(problem, dict(error.headers) if error.headers else None)
