"""A real server under test, and ways to look at what it wrote."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx

from feature_repo.events import PLATFORM_TABLES, register
from feature_repo.home import PROJECT
from serving import request_id

SERVE = (sys.executable, "-m", "bentoml", "serve", "serving.service:Recommend")
READY_SECONDS = 120
Row = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """A running ``bentoml serve``."""

    home: Path
    http: httpx.Client
    process: subprocess.Popen[bytes]
    output: Path

    def wait_until_ready(self) -> "Server":
        """Return once ``/readyz`` says so."""
        eventually(self._is_ready, READY_SECONDS, lambda: f"the server is not ready:\n{self.said()}")
        return self

    def said(self) -> str:
        """All that the server has written to its standard output and error."""
        return self.output.read_text()

    def recommend(self, user: str = "U1", **more: Any) -> Row:
        """The answer of a request that must succeed, and may take its time."""
        body = {"recommender": "channel_browser", "query": {"user_id": user}, "deadline_ms": 10_000} | more
        answer = self.http.post("/v1/recommend", json=body)
        assert answer.status_code == 200, answer.text
        found: Row = answer.json()
        return found

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


def launch(
    home: Path, settings: Path | None = None, host: str = "127.0.0.1", more: Mapping[str, str] | None = None
) -> Server:
    """Start a server on a state folder, without waiting for it.

    ``settings`` as in `environment`; ``more`` variables of the environment go before those.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = home.with_suffix(".out")
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*SERVE, "--host", host, "--port", str(port)],
            cwd=PROJECT,
            env=environment(home, settings) | dict(more or {}),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Server(home, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20), process, output)


def environment(home: Path, settings: Path | None = None) -> dict[str, str]:
    """What a process on this state folder needs; the working directory's packages come first.

    ``settings`` is a feature_store.yaml other than the embedded profile's.
    """
    unwanted = ("BENTOML_DO_NOT_TRACK", "DO_NOT_TRACK", "PROMETHEUS_MULTIPROC_DIR", "RECOMMEND_DOMAIN")
    inherited = {k: v for k, v in os.environ.items() if k not in unwanted}
    return inherited | {
        "RECOMMEND_HOME": str(home),
        "RECOMMEND_AS_OF": "2025-08-02",  # a day after the snapshot that `small_home` materializes
        "BENTOML_HOME": str(home / "bentoml"),
        "PYTHONPATH": str(PROJECT),
        **({"FEAST_FS_YAML_FILE_PATH": str(settings)} if settings else {}),
    }


def eventually(check: Callable[[], bool], seconds: float, failure: Callable[[], str] = lambda: "") -> None:
    """Poll until ``check`` holds."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, failure()
        time.sleep(0.05)


def logged(table: str, request_id: str, rows: int) -> list[Row]:
    """The log's rows of a request, once there are ``rows`` of them."""
    with duckdb.connect() as connection:
        query = f"SELECT * FROM {table} WHERE request_id = {number(request_id)}"
        found: list[Row] = []

        def enough() -> bool:
            register(connection, PLATFORM_TABLES)
            found[:] = connection.sql(query).to_arrow_table().to_pylist()
            return len(found) >= rows

        eventually(enough, 30, lambda: f"{len(found)} of {rows} rows in the log")
    return found


def number(text: str) -> int:
    """A request id as it is in the log."""
    issued = request_id.parse(text)
    assert issued is not None, text
    return issued.number


def offline(home: Path, table: str) -> list[Row]:
    """The rows of an offline table."""
    with duckdb.connect() as connection:
        pattern = home / "tables" / table / "day=*" / "*.parquet"
        found: list[Row] = connection.read_parquet(str(pattern)).to_arrow_table().to_pylist()
    return found


def metric(server: Server, name: str) -> float:
    """A sample of ``/metrics``, by its name with labels; 0 where there is none yet."""
    for line in server.http.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def name_champion(home: Path, recommender: str, version: str) -> None:
    """Write a champion's file by hand, for what ``recommend promote`` would refuse."""
    path = home / "bentoml" / "champions" / f"{recommender}.json"
    document = json.loads(path.read_text()) | {"version": version}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(document))
    draft.replace(path)
