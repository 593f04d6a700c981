"""Load on a live service: callers at a steady rate, and what each of them saw.

What came is kept as it came and read afterwards, so that the callers themselves take little of the machine.
"""

import http.client
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from feature_repo.home import PROJECT
from serving.contract import RecommendResponse
from tests.serving.live_server import Server, eventually, launch

DEADLINE_MS = 600
"""What the callers ask for: more than the default, as the callers run on the same two cores."""
ASKERS = ("U1", "U2", "U0646")
"""Whom `small_home` has candidates for."""
MAY_BE_LATE = 0.01
"""The share of requests that may miss their deadline here. On a machine of their own it is 0.001; what else runs on the
cores of a test, its own callers first, cannot be told from a service that is late."""

Wanted = Callable[[int], Mapping[str, Any]]


def of_askers(n: int) -> dict[str, Any]:
    """The n-th request of a caller: of each asker in turn."""
    return {"query": {"user_id": ASKERS[n % len(ASKERS)]}}


@dataclass(frozen=True)
class Seen:
    """What a caller saw of one request.

    Args:
        asker: Who asked.
        sent: When, by ``time.monotonic``, in seconds.
        seconds: Until the whole answer was there, or none could come any more.
        status: Of HTTP; 0 where the connection broke before a whole answer came.
        body: The answer's bytes, or why the connection broke.
    """

    asker: str
    sent: float
    seconds: float
    status: int
    body: bytes

    @cached_property
    def answer(self) -> RecommendResponse:
        """The answer; pydantic's error where it is not whole, or does not fit the contract."""
        return RecommendResponse.model_validate_json(self.body)

    @property
    def label(self) -> tuple[str, bool, frozenset[str]]:
        """Rung, whether it is degraded, and the warnings; of what is no answer, its status and text."""
        if self.status != 200:
            return f"{self.status}: {self.body.decode()}", True, frozenset()
        return self.answer.rung, self.answer.degraded, frozenset(self.answer.warnings)


@dataclass
class Load:
    """Callers, each with a connection of its own, that ask at a steady rate until they are told to stop.

    Args:
        server: Whom they ask.
        rate: Requests a second of all callers together.
        callers: How many.
        wanted: What a caller's n-th request says beyond the recommender, limit and deadline.
        then: What a caller does with an answer, over the same connection.
    """

    server: Server
    rate: float = 40.0
    callers: int = 4
    wanted: Wanted = of_askers
    then: Callable[[http.client.HTTPConnection, Seen], None] = lambda connection, seen: None
    seen: list[Seen] = field(default_factory=list, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Traffic for as long as the block runs; afterwards `seen` is whole."""
        threads = [threading.Thread(target=self._call, args=(n,)) for n in range(self.callers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "a caller waits for an answer"

    def lasting(self, seconds: float) -> list[Seen]:
        """What is asked from now on, for so long."""
        begun = time.monotonic()
        time.sleep(seconds)
        until = time.monotonic()
        eventually(lambda: len(self.seen) > 0 and self.seen[-1].sent >= until, 30)
        return [s for s in list(self.seen) if begun <= s.sent < until]

    def until(self, check: Callable[[Seen], bool], seconds: float) -> None:
        """Return once 20 answers in a row were such."""
        since = len(self.seen)
        eventually(
            lambda: len(self.seen) >= since + 20 and all(map(check, self.seen[-20:])),
            seconds,
            lambda: f"the last answers were {Counter(s.label for s in self.seen[-20:])}",
        )

    def _call(self, caller: int) -> None:
        due = time.monotonic() + caller / self.rate
        connection = connect(self.server)
        n = caller
        while not self._stop.wait(max(due - time.monotonic(), 0.0)):
            body = {"recommender": "channel_browser", "limit": 10, "deadline_ms": DEADLINE_MS} | dict(
                self.wanted(n)
            )
            found = ask(connection, body)
            self.seen.append(found)
            if found.status == 200:
                self.then(connection, found)
            elif not found.status:
                connection.close()
                connection = connect(self.server)
            n += 1
            due = max(due + self.callers / self.rate, time.monotonic() - 1.0)
        connection.close()


def ask(connection: http.client.HTTPConnection, body: Mapping[str, Any]) -> Seen:
    """One request, and what came of it."""
    asker = str(next(iter(body["query"].values())))
    sent = time.monotonic()
    try:
        connection.request("POST", "/v1/recommend", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        read, status = answer.read(), answer.status
    except (OSError, http.client.HTTPException) as error:
        return Seen(asker, sent, time.monotonic() - sent, 0, repr(error).encode())
    return Seen(asker, sent, time.monotonic() - sent, status, read)


def answered(seen: Sequence[Seen]) -> None:
    """Every request was answered by what fits the contract, and says why where it is less than the best."""
    assert seen, "nobody asked"
    others = [s for s in seen if s.status != 200]
    assert not others, f"{len(others)} of {len(seen)} were not answered: {others[:3]}"
    for one in seen:
        assert one.answer.degraded <= bool(set(one.answer.warnings) - {"nothing-known"}), (
            f"degraded, and does not say why: {one.answer}"
        )


def promised(seen: Sequence[Seen], deadline_ms: int = DEADLINE_MS) -> None:
    """The same, and as good as all in time."""
    answered(seen)
    late = [s for s in seen if s.seconds > deadline_ms / 1000]
    assert len(late) <= max(len(seen) * MAY_BE_LATE, 2), (
        f"{len(late)} of {len(seen)} came later than {deadline_ms} ms: "
        + "; ".join(f"{s.seconds:.3f} s, at {s.sent - seen[0].sent:.1f} s, {s.label}" for s in late[:10])
    )


def is_full(seen: Seen) -> bool:
    """Whether it is the best answer there is."""
    return seen.status == 200 and not seen.answer.degraded


@contextmanager
def service_on(
    home: Path, settings: Path | None = None, more: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A service on a state folder, ready, and warm for each asker."""
    running = launch(home, settings, more=more)
    try:
        running.wait_until_ready()
        for asker in ASKERS:
            running.recommend(asker, dry_run=True)
        yield running
    finally:
        if running.process.poll() is None:
            running.terminate()


def sitecustomized(folder: Path, module: str) -> dict[str, str]:
    """The environment of a service whose Python runs a module of this package as it starts, before all else."""
    (folder / "path").mkdir()
    shutil.copy(Path(__file__).with_name(f"{module}.py"), folder / "path" / "sitecustomize.py")
    return {"PYTHONPATH": f"{folder / 'path'}{os.pathsep}{PROJECT}"}


def copy_of(server: Server, home: Path) -> Path:
    """The server's state folder without its log, to be changed."""
    return Path(shutil.copytree(server.home, home, ignore=shutil.ignore_patterns("log"), symlinks=True))


def workers_of(server: Server) -> list[psutil.Process]:
    """The processes that answer."""
    processes = [
        psutil.Process(server.process.pid),
        *psutil.Process(server.process.pid).children(recursive=True),
    ]
    return [p for p in processes if any("worker.service" in part for part in p.cmdline())]


def worker_of(server: Server) -> psutil.Process:
    """The one that answers, where there is one."""
    (worker,) = workers_of(server)
    return worker


def connect(server: Server) -> http.client.HTTPConnection:
    """A connection of a caller's own."""
    url = server.http.base_url
    return http.client.HTTPConnection(url.host, url.port, timeout=20)
