"""Whose turn it is: one request is ranked at a time, on a thread of its own, while the event loop watches the clock.

What hangs there (a store that is paused, a disk, a model) hangs alone. Each request waits for its turn and its answer
as long as its deadline lets it, then gets the answer from memory, which the event loop makes itself; and as soon as a
request is overdue on the thread, those behind it do not wait any more.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from serving.deadline import Claim, Deadline
from serving.metrics import RESCUED, SKIPPED

Result = TypeVar("Result")

MOST_FOLLOWING, FOLLOWING_SECONDS = 64, 0.2
"""How much work may wait that nobody waits for, and how long one of it may hold up a request."""

logger = logging.getLogger("bentoml.recommend")


@dataclass(eq=False)
class _Job(Generic[Result]):
    """Work in the line. Made on the event loop, and run on the thread.

    Args:
        work: What to do.
        patience: For how many seconds it may run, as of when it begins.
        dropped: Whether it need not begin any more.
        answer: What it answers, on the event loop.
    """

    work: Callable[[], Result]
    patience: Callable[[], float]
    dropped: bool = False
    answer: "asyncio.Future[Result]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def run(self) -> Callable[[], None]:
        """Do it; what is answered tells the event loop."""
        try:
            return partial(self._tell, self.answer.set_result, self.work())
        except Exception as error:
            return partial(self._tell, self.answer.set_exception, error)

    def _tell(self, how: Callable[[Any], None], what: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            self.answer.get_loop().call_soon_threadsafe(self._settle, how, what)

    def _settle(self, how: Callable[[Any], None], what: Any) -> None:
        if not self.answer.done():  # as it is where whoever waited was cancelled
            how(what)


class Turn:
    """The thread and the line before it. Belongs to the event loop.

    Not an executor of `concurrent.futures`: its two futures a job, and `asyncio.wait` on them, take twice as long.
    """

    def __init__(self, name: str) -> None:
        """Start the thread of that name. It ends with the process, also where it hangs."""
        self._name = name
        self._line: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._due = float("inf")
        self._following = 0
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    @property
    def is_overdue(self) -> bool:
        """Whether what is on the thread should have been ready."""
        return time.monotonic() > self._due

    @property
    def waiting(self) -> int:
        """How much is in the line."""
        return self._line.qsize()

    async def run(self, work: Callable[[], Result]) -> Result:
        """What ``work`` answers, however long it takes."""
        return await self._put(work, lambda: float("inf")).answer

    async def within(
        self, deadline: Deadline, claim: Claim, work: Callable[[], Result], rescue: Callable[[], Result]
    ) -> Result:
        """What ``work`` answers in time, else what ``rescue`` does.

        Args:
            deadline: Of both together.
            claim: ``work`` takes it before it does what cannot be undone, and raises where it comes too late.
            work: Run on the thread.
            rescue: Run on the event loop: it waits for nothing.
        """
        if not self.is_overdue:
            job = self._put(work, lambda: deadline.patience)
            if await self._in_time(job, deadline) or not claim.take():
                return await job.answer
            job.dropped = True
            job.answer.add_done_callback(_ignored)
        RESCUED.inc()
        return rescue()

    def follow(self, work: Callable[[], None]) -> None:
        """Have work done after what is in the line now, with nobody waiting for it; where too much of it waits already, it
        is skipped, and counted."""
        if self._following >= MOST_FOLLOWING:
            SKIPPED.labels(self._name).inc()
            return
        self._following += 1
        self._put(work, lambda: FOLLOWING_SECONDS).answer.add_done_callback(self._followed)

    def close(self) -> None:
        """Let what runs come to its end, and nothing begin."""
        self._closed = True
        self._line.put(None)

    def _put(self, work: Callable[[], Result], patience: Callable[[], float]) -> _Job[Result]:
        job = _Job(work, patience)
        self._line.put(job)
        return job

    def _serve(self) -> None:
        """The thread."""
        while (job := self._line.get()) is not None and not self._closed:
            if not job.dropped:
                self._due = time.monotonic() + job.patience()
                tell = job.run()
                self._due = float("inf")
                tell()

    def _followed(self, answer: "asyncio.Future[None]") -> None:
        self._following -= 1
        if not answer.cancelled() and (error := answer.exception()) is not None:
            logger.error("work after an answer failed: %s", type(error).__name__)

    async def _in_time(self, job: _Job[Any], deadline: Deadline) -> bool:
        """Whether it is done before its deadline draws near, and before the thread is overdue with what is ahead of it:
        whoever waits longest is rescued first, and those behind while they still have time."""
        until = time.monotonic() + deadline.patience
        while not job.answer.done() and (patience := min(until, self._due) - time.monotonic()) > 0:
            await _done(job.answer, patience)
        return job.answer.done()


async def _done(answer: "asyncio.Future[Any]", most: float) -> None:
    """Return when it is, or after ``most`` seconds; `asyncio.wait` for one future."""
    loop = asyncio.get_running_loop()
    bell: asyncio.Future[None] = loop.create_future()

    def ring(_: object = None) -> None:
        if not bell.done():
            bell.set_result(None)

    timer = loop.call_later(most, ring)
    answer.add_done_callback(ring)
    try:
        await bell
    finally:
        timer.cancel()
        answer.remove_done_callback(ring)


def _ignored(answer: "asyncio.Future[Any]") -> None:
    """Nobody waits for it any more: what it raised is nobody's."""
    if not answer.cancelled():
        answer.exception()


class Threads:
    """The threads of a worker. Belongs to the event loop."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self.ranking, self.recording, self.shadowing = map(Turn, ("ranking", "recording", "shadowing"))

    def close(self) -> None:
        """Let what runs come to its end, and nothing begin."""
        for turn in (self.ranking, self.recording, self.shadowing):
            turn.close()
