"""One request over HTTP, everything on, against the stock Feast read in the same server and against the bare floor.

The load comes from h2load, an independent program (of nghttp2), over HTTP/1.1; every request's own time is counted. The
floor is an empty endpoint, and in a process of its own the bare read of the rows and the library's own prediction. The
service's workers are pinned to a core each, as on a machine of its own; one row is without.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from feature_repo.home import PROJECT

ROUNDS, SECONDS = 3, 4
EVERYTHING = {
    "limit": 10,
    "filter": "item_view__f0 > -2 or is_missing(item_view__f0)",
    "boost": "0.01 * user_view__f1",
}
PINNED = {"RECOMMEND_PIN": "1"}
PATIENT = {"deadline_ms": 5000}
"""Of more connections than workers, some wait."""
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
    booster = bundle.load("items_500", card.version).ranker._booster
    if card.ranker == "xgboost":
        booster.set_param({"nthread": 1})
        found["xgboost"] = median(lambda: booster.inplace_predict(matrix, predict_type="margin"))
    elif card.ranker == "lightgbm":
        found["lightgbm"] = median(lambda: booster.predict(matrix, num_threads=1))
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Load:
    """What a load of some seconds came to: milliseconds, and requests a second."""

    p50: float
    p99: float
    rps: float


def run() -> dict[str, Any]:
    """Interleave the contestants, print medians over the rounds; the last line is for machines."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is missing; install it (apt-get install nghttp2-client) and run again")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = _environment(folder / "home")
        _python(environment, "-m", "benchmarks._serving_home")
        key = _python(environment, "recommend.py", "keys", "add", "bench", "--workspace", "bench",
                      "--scope", "recommend", "--rate", "1000000").split()[-1]  # fmt: skip
        with ExitStack() as stack:
            started = time.perf_counter()
            url = stack.enter_context(_server(environment | PINNED, "serving.service:Recommend", folder))
            start_seconds = time.perf_counter() - started
            unpinned = stack.enter_context(_server(environment, "serving.service:Recommend", folder))
            stock = stack.enter_context(_server(environment, "benchmarks._serving_stock:Stock", folder))
            measured, bare = _interleaved(environment, folder, url, unpinned, stock, key)
            one = _saturated(folder, url, key)
        two_workers = environment | PINNED | {"RECOMMEND_WORKERS": "2"}
        with _server(two_workers, "serving.service:Recommend", folder) as url:
            two = _saturated(folder, url, key)
    return _report(measured, bare, start_seconds, one, two)


def _interleaved(
    environment: dict[str, str], folder: Path, url: str, unpinned: str, stock: str, key: str
) -> tuple[dict[str, list[Load]], dict[str, float]]:
    """The loads by what was asked, and the floor's parts in milliseconds, medians over the same rounds."""
    measured: dict[str, list[Load]] = {}
    floors: list[dict[str, float]] = []
    for ranker in ("lightgbm", "xgboost"):
        for recommender in ("items_500", "items_100"):
            _promote(environment, (url, unpinned), key, recommender, ranker)
        for _ in range(ROUNDS):
            floors.append(json.loads(_python(environment, "-c", FLOOR).splitlines()[-1]))
            for what, path, candidates in (
                ("empty endpoint", f"{stock}/bench/empty", 0),
                ("stock Feast read, XGBoost", f"{stock}/bench/stock", 0),
                (f"500 candidates, {ranker}", f"{url}/v1/recommend", 500),
                (f"100 candidates, {ranker}", f"{url}/v1/recommend", 100),
                (f"500 candidates, {ranker}, on any core", f"{unpinned}/v1/recommend", 500),
            ):
                if candidates or ranker == "xgboost":
                    found = _load(folder, path, key, f"items_{candidates or 500}", connections=1)
                    measured.setdefault(what, []).append(found)
    return measured, {part: float(np.median([floor[part] for floor in floors])) for part in floors[0]}


def _saturated(folder: Path, url: str, key: str) -> float:
    """Requests a second of 500 candidates from eight connections at once, by XGBoost, promoted last.

    A count of requests, not a time: h2load forgets to stop a connection that is being made anew when the time is up.
    """
    count = ("-n", "2400")
    rounds = [
        _load(folder, f"{url}/v1/recommend", key, "items_500", 8, PATIENT, count) for _ in range(ROUNDS)
    ]
    return float(np.median([load.rps for load in rounds]))


def _load(
    folder: Path,
    url: str,
    key: str,
    recommender: str,
    connections: int,
    more: Mapping[str, Any] = MappingProxyType({}),
    extent: Sequence[str] = (f"-D{SECONDS}", "--warm-up-time=1"),
) -> Load:
    body, log = folder / "body.json", folder / "requests.tsv"
    asked = {"recommender": recommender, "query": {"user_id": "U3"}, **EVERYTHING, **more}
    body.write_text(json.dumps(asked))
    log.unlink(missing_ok=True)
    command = ["h2load", "--h1", "-t1", f"-c{connections}", *extent, f"-d{body}"]
    headers = ["-Hcontent-type: application/json", f"-Hauthorization: Bearer {key}"]
    subprocess.run(
        [*command, *headers, f"--log-file={log}", url], capture_output=True, check=True, timeout=10 * SECONDS
    )
    begun, status, microseconds = np.loadtxt(log, np.int64, ndmin=2).T
    cut = status <= 0  # those on their way when the time was up
    if cut.sum() > connections or (status[~cut] != 200).any() or cut.all():
        raise SystemExit(f"{url}: of {len(status)} requests some failed: {np.unique(status)}")
    begun, microseconds = begun[~cut], microseconds[~cut]
    elapsed = (begun + microseconds).max() - begun.min()
    p50, p99 = np.percentile(microseconds, (50, 99)) / 1000
    return Load(float(p50), float(p99), len(begun) / (elapsed / 1e6))


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
            for _ in range(2400):
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


def _promote(
    environment: dict[str, str], urls: tuple[str, ...], key: str, recommender: str, ranker: str
) -> None:
    _python(environment, "recommend.py", "promote", recommender, ranker)
    waiting = list(urls)
    for _ in range(200):
        known = httpx.get(f"{waiting[0]}/v1/recommenders", headers={"authorization": f"Bearer {key}"}).json()
        if any(r["name"] == recommender and r["rung"] == ranker for r in known["recommenders"]):
            waiting.pop(0)
            if not waiting:
                return
        else:
            time.sleep(0.1)
    raise SystemExit(f"the service does not take up {ranker} for {recommender}")


def _report(
    measured: dict[str, list[Load]],
    bare: dict[str, float],
    start_seconds: float,
    one_worker: float,
    two_workers: float,
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for what, rounds in measured.items():
        p50, p99, rps = (
            float(np.median([getattr(r, name) for r in rounds])) for name in ("p50", "p99", "rps")
        )
        rows.append({"what": what, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "rps": round(rps)})
    by_name = {row["what"]: row for row in rows}
    empty = by_name["empty endpoint"]["p50_ms"]
    for ranker in ("xgboost", "lightgbm"):
        floor = empty + bare["read"] + bare[ranker]
        ours = by_name[f"500 candidates, {ranker}"]
        ours["vs_floor"] = round(ours["p50_ms"] / floor, 2)
        rows.append({"what": f"bare floor, {ranker}", "p50_ms": round(floor, 2)})
    ours = by_name["500 candidates, xgboost"]
    ours["vs_stock"] = round(by_name["stock Feast read, XGBoost"]["p50_ms"] / ours["p50_ms"], 1)
    heads = ("what", "p50 ms", "p99 ms", "requests/s", "× faster than stock", "× the floor")
    table = Table(*heads, title=f"POST /v1/recommend, everything on, {os.cpu_count()} cores")
    for row in rows:
        table.add_row(
            *(str(row.get(name, "")) for name in ("what", "p50_ms", "p99_ms", "rps", "vs_stock", "vs_floor"))
        )
    console = Console(width=120)  # also where the output is no terminal: the table stays a table
    console.print(table)
    console.print(
        f"8 connections, 500 candidates, XGBoost: {one_worker:.0f} requests/s by one worker, {two_workers:.0f} by two "
        f"({two_workers / one_worker:.2f} ×, the load generator on the same cores); start to ready: {start_seconds:.1f} s"
    )
    return {
        "bench": "serving",
        **{name: ours[name] for name in ("p50_ms", "p99_ms", "rps", "vs_stock", "vs_floor")},
        "start_seconds": round(start_seconds, 1),
        "rps_one_worker": round(one_worker),
        "rps_two_workers": round(two_workers),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }
