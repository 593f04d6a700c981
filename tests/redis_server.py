"""A real Redis of the tests' own."""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field

import pytest
import redis


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


def free_port() -> int:
    """A port for a server of the test's own; skips the test where ``redis-server`` is missing."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
