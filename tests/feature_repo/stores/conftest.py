"""A real Redis of the tests' own, and the packed store over both backends."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.feature_repo.stores.small_repo import PACKED


@dataclass
class RedisServer:
    """A ``redis-server`` that can be stopped and started. What it held is lost when it stops."""

    port: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Returns when it answers."""
        command = ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", "/"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis(port=self.port)
        for _ in range(200):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise AssertionError(f"redis-server does not answer at port {self.port}")

    def stop(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """One server for all tests that do not stop it."""
    server = RedisServer(_free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server to be stopped."""
    server = RedisServer(_free_port())
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


def _free_port() -> int:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
