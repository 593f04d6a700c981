"""The line before the ranking thread: who waits, who is rescued, and that an answer is given once."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from serving.deadline import NEVER, Claim, Deadline
from serving.impressions import TooLate
from serving.turn import FOLLOWING_SECONDS, MOST_FOLLOWING, Turn


def run(scenario: Callable[[Turn], Coroutine[Any, Any, None]]) -> None:
    turn = Turn("test")
    try:
        asyncio.run(scenario(turn))
    finally:
        turn.close()


def test_work_that_is_in_time_is_the_answer() -> None:
    async def scenario(turn: Turn) -> None:
        assert await turn.within(Deadline.within(5), Claim(), lambda: "ranked", lambda: "rescued") == "ranked"
        assert await turn.within(NEVER, Claim(), lambda: "ranked", lambda: "rescued") == "ranked"

    run(scenario)


def test_what_hangs_is_given_up_in_time_and_those_behind_do_not_wait() -> None:
    released, late = threading.Event(), []

    async def scenario(turn: Turn) -> None:
        claim = Claim()

        def hangs() -> str:
            released.wait(10)
            if not claim.take():
                late.append("too late")
                raise TooLate
            return "ranked"

        begun = time.monotonic()
        assert await turn.within(Deadline.within(0.2), claim, hangs, lambda: "rescued") == "rescued"
        assert time.monotonic() - begun < 5
        assert turn.is_overdue
        ran: list[str] = []
        answers = [
            await turn.within(Deadline.within(30), Claim(), lambda: ran.append("x"), lambda: None)
            for _ in range(3)
        ]
        assert answers == [None] * 3
        assert ran == [], "nothing is put behind what hangs"
        released.set()
        while turn.is_overdue:
            await asyncio.sleep(0.01)
        assert await turn.within(NEVER, Claim(), lambda: "ranked", lambda: "rescued") == "ranked"
        assert late == ["too late"]

    run(scenario)


def test_work_that_took_the_claim_is_waited_for() -> None:
    async def scenario(turn: Turn) -> None:
        claim = Claim()

        def logs() -> str:
            assert claim.take()
            time.sleep(0.3)
            return "ranked"

        assert await turn.within(Deadline.within(0.1), claim, logs, lambda: "rescued") == "ranked"

    run(scenario)


def test_a_request_whose_turn_never_came_is_not_ranked() -> None:
    ran: list[str] = []

    async def scenario(turn: Turn) -> None:
        first = asyncio.create_task(turn.run(lambda: time.sleep(0.4)))
        await asyncio.sleep(0.05)
        answer = await turn.within(Deadline.within(0.1), Claim(), lambda: ran.append("x"), lambda: None)
        assert answer is None
        await first
        await turn.run(lambda: None)

    run(scenario)
    assert ran == []


def test_an_error_of_the_work_is_the_callers() -> None:
    async def scenario(turn: Turn) -> None:
        with pytest.raises(ZeroDivisionError):
            await turn.within(Deadline.within(5), Claim(), lambda: 1 / 0, lambda: 0.0)

    run(scenario)


def test_a_claim_is_taken_once() -> None:
    claim, taken = Claim(), []
    threads = [threading.Thread(target=lambda: taken.append(claim.take())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_patience_leaves_time_for_another_answer() -> None:
    for seconds in (0.004, 0.05, 1.0):
        patience = Deadline.within(seconds).patience
        assert seconds / 2 - 0.01 <= patience < seconds
    assert Deadline.within(-1).patience == 0
    assert NEVER.patience == float("inf")


def test_work_that_had_to_wait_may_take_as_long_as_any() -> None:
    async def scenario(turn: Turn) -> None:
        first = asyncio.create_task(turn.run(lambda: time.sleep(2 * FOLLOWING_SECONDS)))
        await asyncio.sleep(0.01)
        begun = threading.Event()
        turn.follow(lambda: begun.set() or time.sleep(FOLLOWING_SECONDS / 4))
        await first
        await asyncio.to_thread(begun.wait, 5)
        assert not turn.is_overdue
        answer = await turn.within(Deadline.within(5), Claim(), lambda: "ranked", lambda: "rescued")
        assert answer == "ranked"

    run(scenario)


def test_work_after_an_answer_is_bounded_and_its_errors_are_told(caplog: pytest.LogCaptureFixture) -> None:
    released, ran = threading.Event(), []

    async def scenario(turn: Turn) -> None:
        turn.follow(lambda: released.wait(10) and None)
        for n in range(2 * MOST_FOLLOWING):
            turn.follow(lambda n=n: ran.append(n))  # type: ignore[misc]
        released.set()
        await turn.run(lambda: None)
        turn.follow(lambda: ran.append(1 // 0))
        await turn.run(lambda: None)
        await asyncio.sleep(0)

    run(scenario)
    assert ran == list(range(MOST_FOLLOWING - 1)), "the first of them, in their order"
    assert "work after an answer failed: ZeroDivisionError" in caplog.text
