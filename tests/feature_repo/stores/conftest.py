"""A real Redis of the tests' own, and the packed store over both backends."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.feature_repo.stores.small_repo import PACKED
from tests.redis_server import RedisServer, free_port


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """One server for all tests that do not stop it."""
    server = RedisServer(free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server to be stopped."""
    server = RedisServer(free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["lmdb", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of an empty packed store, over each backend in turn."""
    if request.param == "lmdb":
        return {"type": PACKED, "path": str(tmp_path / "online")}
    server: RedisServer = request.getfixturevalue("running_redis")
    redis.Redis(port=server.port).flushall()
    return {"type": PACKED, "backend": "redis", "port": server.port}


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something that another process does; fails after two minutes."""

    def wait(happened: Callable[[], bool]) -> None:
        for _ in range(12_000):
            if happened():
                return
            time.sleep(0.01)
        raise AssertionError("it did not happen in two minutes")

    return wait
