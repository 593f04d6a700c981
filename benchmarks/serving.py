"""One request over HTTP, everything on, against the stock Feast read in the same server and against the bare floor.

The load comes from wrk, an independent program. The floor is an empty endpoint, and in a process of its own the bare
read of the rows and the bare prediction.
"""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from feature_repo.home import PROJECT

ROUNDS, SECONDS = 3, 4
SCRIPT = """
wrk.method, wrk.body = "POST", [==[{body}]==]
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer {key}"
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n", latency:percentile(50), latency:percentile(99),
    summary.requests, summary.duration, summary.errors.status + summary.errors.read + summary.errors.timeout))
end
"""
EVERYTHING = {
    "limit": 10,
    "filter": "item_view__f0 > -2 or is_missing(item_view__f0)",
    "boost": "0.01 * user_view__f1",
}
FLOOR = """
import json, time, numpy as np
from datetime import UTC, datetime
from feature_repo.catalog import feast_repo
from feature_repo.home import feast_path
from feast import FeatureStore
from feature_repo.stores.packed.matrix import MatrixReader, _keys
from training import bundle
ids = json.loads((feast_path() / "ids.json").read_text())
reader = MatrixReader.of_store(FeatureStore(repo_path=str(feast_repo())), "items_500")
given = {"user_id": np.array(ids["users"][:1]), "item_id": np.array(ids["items"])}
keys = [k for plan in reader._plans for k in _keys(plan, given)]
matrix = reader.read({"user_id": ids["users"][0]}, given["item_id"], "item_id", datetime.now(UTC)).values
found = {}
def median(work):
    times = []
    for _ in range(300):
        begun = time.perf_counter(); work(); times.append(time.perf_counter() - begun)
    return float(np.median(times)) * 1000
found["read"] = median(lambda: reader._backend.read(keys))
for card in bundle.cards("items_500"):
    ranker = bundle.load("items_500", card.version).ranker
    found[card.ranker] = median(lambda: ranker.score(matrix))
print(json.dumps(found))
"""


def run() -> dict[str, Any]:
    """Interleave the contestants, print medians over the rounds; the last line is for machines."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing; install it (apt-get install wrk) and run again")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environment = _environment(folder / "home")
        _python(environment, "-m", "benchmarks._serving_home")
        key = _python(environment, "recommend.py", "keys", "add", "bench", "--workspace", "bench",
                      "--scope", "recommend", "--rate", "1000000").split()[-1]  # fmt: skip
        bare = json.loads(_python(environment, "-c", FLOOR).splitlines()[-1])
        started = time.perf_counter()
        url = stack.enter_context(_server(environment, "serving.service:Recommend", folder))
        start_seconds = time.perf_counter() - started
        stock = stack.enter_context(_server(environment, "benchmarks._serving_stock:Stock", folder))
        measured: dict[str, list[tuple[float, float, float]]] = {}
        for ranker in ("xgboost", "lightgbm"):
            for recommender in ("items_500", "items_100"):
                _promote(environment, url, key, recommender, ranker)
            for _ in range(ROUNDS):
                for what, path, candidates in (
                    ("empty endpoint", f"{stock}/bench/empty", 0),
                    ("stock Feast read, XGBoost", f"{stock}/bench/stock", 0),
                    (f"500 candidates, {ranker}", f"{url}/v1/recommend", 500),
                    (f"100 candidates, {ranker}", f"{url}/v1/recommend", 100),
                ):
                    if ranker == "lightgbm" and not candidates:
                        continue
                    body = {"recommender": f"items_{candidates}", "query": {"user_id": "U3"}, **EVERYTHING}
                    script = folder / "request.lua"
                    script.write_text(SCRIPT.format(body=json.dumps(body), key=key))
                    measured.setdefault(what, []).append(_load(path, script, connections=1))
        throughput = _saturated(folder, url, key)
    return _report(measured, bare, start_seconds, throughput)


def _saturated(folder: Path, url: str, key: str) -> float:
    """Requests a second of 500 candidates from eight connections at once, LightGBM promoted last."""
    body = {"recommender": "items_500", "query": {"user_id": "U3"}, **EVERYTHING}
    script = folder / "request.lua"
    script.write_text(SCRIPT.format(body=json.dumps(body), key=key))
    return float(np.median([_load(f"{url}/v1/recommend", script, connections=8)[2] for _ in range(ROUNDS)]))


def _load(url: str, script: Path, connections: int) -> tuple[float, float, float]:
    """p50 and p99 in milliseconds, and requests a second."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), "--latency", url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", printed)
    if found is None:
        raise SystemExit(f"wrk printed no result:\n{printed}")
    p50, p99, requests, duration, errors = map(int, found.groups())
    if errors or not requests:
        raise SystemExit(f"{url}: {errors} of {requests} requests failed")
    return p50 / 1000, p99 / 1000, requests / (duration / 1e6)


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {
        "RECOMMEND_HOME": str(home),
        "BENTOML_HOME": str(home / "bentoml"),
        "RECOMMEND_DOMAIN": "benchmarks.serving_domain",
        "PYTHONPATH": str(PROJECT),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }


def _python(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:3])} failed:\n{done.stderr}")
    return done.stdout


@contextmanager
def _server(environment: dict[str, str], service: str, folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / f"{port}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(1200):
                try:
                    if httpx.get(f"{url}/readyz").is_success:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
            else:
                raise SystemExit(f"{service} does not start:\n{(folder / f'{port}.log').read_text()}")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _promote(environment: dict[str, str], url: str, key: str, recommender: str, ranker: str) -> None:
    _python(environment, "recommend.py", "promote", recommender, ranker)
    for _ in range(200):
        known = httpx.get(f"{url}/v1/recommenders", headers={"authorization": f"Bearer {key}"}).json()
        if any(r["name"] == recommender and r["rung"] == ranker for r in known["recommenders"]):
            return
        time.sleep(0.1)
    raise SystemExit(f"the service does not take up {ranker} for {recommender}")


def _report(
    measured: dict[str, list[tuple[float, float, float]]],
    bare: dict[str, float],
    start_seconds: float,
    throughput: float,
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for what, rounds in measured.items():
        p50, p99, rps = (float(np.median(values)) for values in zip(*rounds, strict=True))
        rows.append({"what": what, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "rps": round(rps)})
    by_name = {row["what"]: row for row in rows}
    empty = by_name["empty endpoint"]["p50_ms"]
    for ranker in ("xgboost", "lightgbm"):
        floor = empty + bare["read"] + bare[ranker]
        by_name[f"500 candidates, {ranker}"]["vs_floor"] = round(
            by_name[f"500 candidates, {ranker}"]["p50_ms"] / floor, 2
        )
        rows.append({"what": f"bare floor, {ranker}", "p50_ms": round(floor, 2)})
    ours = by_name["500 candidates, xgboost"]
    ours["vs_stock"] = round(by_name["stock Feast read, XGBoost"]["p50_ms"] / ours["p50_ms"], 1)
    heads = ("what", "p50 ms", "p99 ms", "requests/s", "× faster than stock", "× the floor")
    table = Table(*heads, title=f"POST /v1/recommend, everything on, {os.cpu_count()} cores")
    for row in rows:
        table.add_row(
            *(str(row.get(name, "")) for name in ("what", "p50_ms", "p99_ms", "rps", "vs_stock", "vs_floor"))
        )
    console = Console()
    console.print(table)
    console.print(
        f"8 connections, 500 candidates, LightGBM: {throughput:.0f} requests/s; start to ready: {start_seconds:.1f} s"
    )
    return {
        "bench": "serving",
        **{name: ours[name] for name in ("p50_ms", "p99_ms", "rps", "vs_stock", "vs_floor")},
        "start_seconds": round(start_seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }
