"""Whose turn it is: one request is ranked at a time, on a thread of its own, while the event loop watches the clock.

What hangs there (a store that is paused, a disk, a model) hangs alone. Each request waits for its turn and its answer
as long as its deadline lets it, then gets the answer from memory, which the event loop makes itself; and as soon as a
request is overdue on the thread, those behind it do not wait any more.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.deadline import Claim, Deadline
from serving.metrics import RESCUED, SKIPPED

Result = TypeVar("Result")

MOST_FOLLOWING, FOLLOWING_SECONDS = 64, 0.2
"""How much work may wait that nobody waits for, and how long one of it may hold up a request."""

logger = logging.getLogger("bentoml.recommend")


class Turn:
    """The thread and the line before it. Belongs to the event loop."""

    def __init__(self, name: str) -> None:
        """``name`` is the thread's."""
        self._name, self._thread = name, ThreadPoolExecutor(1, name)
        self._due = float("inf")
        self._following = 0

    @property
    def is_overdue(self) -> bool:
        """Whether what is on the thread should have been ready."""
        return time.monotonic() > self._due

    async def run(self, work: Callable[[], Result]) -> Result:
        """What ``work`` answers, however long it takes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

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
            future = asyncio.get_running_loop().run_in_executor(self._thread, self._timed(work, deadline))
            if await self._in_time(future, deadline) or not claim.take():
                return await future
            future.cancel()  # where its turn has not come, it never does
            future.add_done_callback(_ignored)
        RESCUED.inc()
        return rescue()

    def follow(self, work: Callable[[], None]) -> None:
        """Have work done after what is in the line now, with nobody waiting for it; where too much of it waits already, it
        is skipped, and counted."""
        if self._following >= MOST_FOLLOWING:
            SKIPPED.labels(self._name).inc()
            return
        self._following += 1
        due = self._timed(work, Deadline.within(FOLLOWING_SECONDS))
        asyncio.get_running_loop().run_in_executor(self._thread, due).add_done_callback(self._followed)

    def close(self) -> None:
        """Let what runs come to its end, and nothing begin."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _followed(self, future: "asyncio.Future[None]") -> None:
        self._following -= 1
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.error("work after an answer failed: %s", type(error).__name__)

    async def _in_time(self, future: "asyncio.Future[Result]", deadline: Deadline) -> bool:
        """Whether it is done before its deadline draws near, and before the thread is overdue with what is ahead of it:
        whoever waits longest is rescued first, and those behind while they still have time."""
        until = time.monotonic() + deadline.patience
        while not future.done() and (patience := min(until, self._due) - time.monotonic()) > 0:
            await asyncio.wait((future,), timeout=patience)
        return future.done()

    def _timed(self, work: Callable[[], Result], deadline: Deadline) -> Callable[[], Result]:
        def timed() -> Result:
            self._due = time.monotonic() + deadline.patience
            try:
                return work()
            finally:
                self._due = float("inf")

        return timed


def _ignored(future: "asyncio.Future[Result]") -> None:
    """Nobody waits for it any more: what it raised is nobody's."""
    if not future.cancelled():
        future.exception()


class Threads:
    """The threads of a worker. Belongs to the event loop."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self.ranking, self.recording, self.shadowing = map(Turn, ("ranking", "recording", "shadowing"))

    def close(self) -> None:
        """Let what runs come to its end, and nothing begin."""
        for turn in (self.ranking, self.recording, self.shadowing):
            turn.close()
