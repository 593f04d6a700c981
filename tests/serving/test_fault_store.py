"""The online store breaks in the middle of load: every request is answered in time, says what it is, and full service
comes back by itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from feature_repo.home import PROJECT
from tests.redis_server import RedisServer, free_port
from tests.serving.live_server import Server, environment
from tests.serving.load import ASKERS, Load, Seen, is_full, of_askers, promised, service_on
from tests.serving.test_degradation import ON_REDIS
from tests.tcp_proxy import Spoil, TcpProxy, always, cut, garbage, late_by

pytestmark = pytest.mark.slow

SHORT_MS = 250
"""Less than four callers' turns of two reads of 50 ms."""
BEFORE, BROKEN, HEAL = 1.0, 4.0, 15.0
"""Seconds of load before the fault and with it, and until full service must be back."""
CACHED = ("heuristic", True, frozenset({"store-failed", "cached-rows"}))
NOBODY_KNOWN = ("popularity", True, frozenset({"nothing-known", "store-failed"}))
OVERDUE = ("heuristic", True, frozenset({"deadline", "cached-rows"}))


@dataclass(frozen=True)
class Parts:
    """A service, and between it and its Redis a proxy."""

    server: Server
    proxy: TcpProxy
    store: RedisServer
    rows: dict[bytes, bytes]
    """All that Redis holds."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Redis accepts connections and answers nothing, for as long as the block runs."""
        with redis.Redis(port=self.store.port) as client:
            process: int = client.info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def restore(self) -> None:
        """Put everything back into Redis."""
        with redis.Redis(port=self.store.port) as client:
            client.mset(self.rows)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Built once, and whole again after each test."""
    folder = tmp_path_factory.mktemp("store")
    store, settings = RedisServer(free_port()), folder / "feature_store.yaml"
    store.start()
    try:
        with TcpProxy(store.port).running() as proxy:
            settings.write_text(ON_REDIS.format(port=proxy.port))
            build = [sys.executable, str(Path(__file__).with_name("small_home.py"))]
            subprocess.run(build, cwd=PROJECT, env=environment(folder / "home", settings), check=True)
            with redis.Redis(port=store.port) as client:
                rows = {key: client.get(key) for key in client.scan_iter()}
            with service_on(folder / "home", settings) as server:
                yield Parts(server, proxy, store, rows)
    finally:
        store.stop()


def labels(seen: Sequence[Seen]) -> set[tuple[str, bool, frozenset[str]]]:
    return {s.label for s in seen if not is_full(s)}


def settled(broken: Sequence[Seen]) -> list[Seen]:
    """What was asked once the fault had begun for good."""
    return [s for s in broken if s.sent > broken[0].sent + 0.5]


def test_a_store_that_is_killed_leaves_the_rows_that_were_read_last(running: Parts) -> None:
    load = Load(running.server)
    with load.running():
        before = load.lasting(BEFORE)
        running.store.stop()
        broken = load.lasting(BROKEN)
        running.store.start()
        running.restore()
        load.until(is_full, HEAL)
    promised(load.seen)
    assert all(map(is_full, before))
    assert labels(settled(broken)) == {CACHED}
    best = {s.asker: [item.id for item in s.answer.items] for s in before}
    assert {s.asker for s in broken} == set(ASKERS)
    assert all([item.id for item in s.answer.items] == best[s.asker] for s in settled(broken)), (
        "the heuristic serves here, so the last rows give the same order"
    )


def test_a_store_that_hangs_is_waited_for_until_the_deadline_and_then_not_at_all(running: Parts) -> None:
    load = Load(running.server)
    with load.running():
        before = load.lasting(BEFORE)
        with running.paused():
            broken = load.lasting(BROKEN + 2.0)  # beyond the store's own time-out
        load.until(is_full, HEAL)
    promised(load.seen)
    assert all(map(is_full, before))
    assert not any(map(is_full, settled(broken)))
    assert labels(settled(broken)) <= {OVERDUE, CACHED}
    assert OVERDUE in labels(broken)


def test_a_store_that_is_slow_gives_way_to_memory_where_there_is_no_time(running: Parts) -> None:
    load = Load(running.server, wanted=lambda n: of_askers(n) | {"deadline_ms": SHORT_MS})
    with load.running():
        with running.proxy.spoiling(late_by(0.05)):
            broken = load.lasting(BROKEN + 4.0)
        load.until(is_full, HEAL)
    promised(load.seen)
    assert labels(broken) == {OVERDUE}, "forty requests a second find no turn with two reads of 50 ms each"
    assert any(map(is_full, settled(broken))), "those that find one are answered in full"


@pytest.mark.parametrize(
    "spoil",
    [cut, garbage, always(b":7\r\n"), always(b"-ERR out of order\r\n")],
    ids=["cut in the middle", "garbage", "of another type", "an error"],
)
def test_answers_that_are_none_are_a_store_that_fails(running: Parts, spoil: Spoil) -> None:
    load = Load(running.server)
    with load.running():
        with running.proxy.spoiling(spoil):
            broken = load.lasting(2.0)
        load.until(is_full, HEAL)
    promised(load.seen)
    assert not any(map(is_full, settled(broken)))
    assert labels(settled(broken)) <= {CACHED, OVERDUE}


def test_rows_of_another_kind_are_damaged_rows(running: Parts) -> None:
    load = Load(running.server)
    with load.running():
        with running.proxy.spoiling(always(b"*1\r\n$3\r\nabc\r\n")):
            broken = load.lasting(2.0)
        load.until(is_full, HEAL)
    promised(load.seen)
    assert labels(settled(broken)) == {NOBODY_KNOWN}


def test_a_store_that_was_restarted_empty_or_flushed_knows_nobody_until_it_is_filled(running: Parts) -> None:
    load = Load(running.server)
    with load.running():
        load.lasting(BEFORE)
        for restart in (True, False):
            if restart:
                running.store.stop()
                running.store.start()
            else:
                with redis.Redis(port=running.store.port) as client:
                    client.flushall()
            empty = load.lasting(2.0)
            running.restore()
            load.until(is_full, HEAL)
            for one in settled(empty):
                assert one.label == NOBODY_KNOWN
                assert [item.id for item in one.answer.items][:2] == ["C250", "C249"], "the last popular list"
    promised(load.seen)
