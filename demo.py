"""The main job from end to end, by the commands that a user would type: ``make demo [DATA=folder]``."""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import httpx
from rich import box
from rich.console import Console
from rich.table import Table

from feature_repo.errors import RecommendError
from feature_repo.home import PROJECT
from training import report

RECOMMENDERS = ("channel_browser", "composer_dm")
REPLAYED_DAYS = 30
VISITS = 200
USERS = 1200
BIN = Path(sys.executable).parent
MARK = ".made-by-demo"

console = Console()


@dataclass(frozen=True)
class Plan:
    """What is played: features and labels as of ``as_of``, behaviour from then on."""

    as_of: date
    since: date
    cadence: str
    test_cutoffs: int

    @property
    def until(self) -> date:
        """The last day of the replay."""
        return self.as_of + timedelta(days=REPLAYED_DAYS - 1)


@dataclass
class Clock:
    """How long each stage took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage and say that it begins."""
        console.rule(f"[bold]{name}", align="left")
        begun = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun


def main() -> None:
    """Run every stage and print what a person would want to see at the end."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, help="a folder that `ingest --format events` reads")
    data: Path | None = arguments.parse_args().data
    home = _fresh_home("demo" if data is None else data.resolve().name)
    clock, raw = Clock(), home / "raw"
    if data is None:
        with clock.stage("generate a workspace"):
            _run("recommend", "sample", "--users", USERS, "--out", raw)
    with clock.stage("ingest"):
        _run("recommend", "ingest", data or raw, "--format", "events", "--workspace", home.name)
    plan = _plan(home)
    with clock.stage("offline tables (Spark)"):
        _run("recommend", "tables", "--as-of", plan.as_of, "--since", plan.since, "--every", plan.cadence)
        # The weeks that are replayed: in production, each is built when it has come.
        _run("recommend", "tables", "--as-of", plan.until, "--since", plan.as_of, "--every", "weekly")
    with clock.stage("feature store (Feast)"):
        _run("feast", "-c", "feature_repo", "apply")
        _run("feast", "-c", "feature_repo", "materialize-incremental", f"{plan.as_of}T00:00:00")
    with clock.stage("train"):
        for name in RECOMMENDERS:
            _run("recommend", "train", name, "--as-of", plan.as_of, "--test-cutoffs", plan.test_cutoffs)
    with clock.stage("serve and replay"):
        answer = _serve_and_replay(home, plan)
    with clock.stage("monitor (Evidently)"):
        _run("recommend", "monitor", "--as-of", plan.until + timedelta(days=31))
    _summary(home, plan, answer, clock)


def _serve_and_replay(home: Path, plan: Plan) -> tuple[dict, dict]:
    with _service(home, plan) as url:
        window = ("--from", plan.as_of, "--to", plan.until, "--visits", VISITS, "--url", url)
        _run("recommend", "replay", *RECOMMENDERS, *window, "--versions", "heuristic,best", "--refresh")
        return _one_request(home, url, plan)


def _fresh_home(name: str) -> Path:
    """The demo's own state folder, emptied of an earlier demo; nobody else's folder is touched."""
    chosen = os.environ.get("RECOMMEND_HOME")
    home = (PROJECT / (chosen or Path("data") / name)).resolve()
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).exists():
            raise RecommendError(
                f"{home} holds state that no demo made: set RECOMMEND_HOME to another folder"
            )
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARK).touch()
    os.environ["RECOMMEND_HOME"] = str(home)
    return home


def _plan(home: Path) -> Plan:
    """The last first of a month with `REPLAYED_DAYS` of history behind it; long histories get monthly snapshots."""
    pattern = str(home / "events" / "messages" / "day=*" / "*.parquet")
    row = duckdb.execute(
        f"SELECT min(day), max(day) FROM read_parquet('{pattern}', hive_partitioning = true)"
    ).fetchone()
    first, last = (d if isinstance(d, date) else date.fromisoformat(d) for d in row or ())
    as_of = (last - timedelta(days=REPLAYED_DAYS - 1)).replace(day=1)
    if (as_of - first).days > 500:
        return Plan(as_of, as_of - timedelta(days=460), "monthly", test_cutoffs=3)
    return Plan(as_of, max(first + timedelta(days=28), as_of - timedelta(days=103)), "weekly", test_cutoffs=2)


def _run(program: str, *arguments: object) -> None:
    words = [str(a) for a in arguments]
    console.print(f"[bold cyan]$[/bold cyan] {program} {' '.join(words)}", highlight=False, soft_wrap=True)
    done = subprocess.run([str(BIN / program), *words], cwd=PROJECT, check=False)
    if done.returncode:
        raise RecommendError(
            f"`{program} {' '.join(words)}` failed with exit code {done.returncode}: see above"
        )


@contextmanager
def _service(home: Path, plan: Plan) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["recommend", "serve", "--port", str(port), "--as-of", str(plan.as_of)]
    console.print(f"[bold cyan]$[/bold cyan] {' '.join(command)} &", highlight=False)
    url = f"http://127.0.0.1:{port}"
    with (home / "serve.log").open("w") as log:
        service = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=PROJECT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(
                lambda: httpx.get(f"{url}/readyz").is_success, f"the service does not start: see {log.name}"
            )
            yield url
        finally:
            service.terminate()
            service.wait(30)


def _await(ready: object, otherwise: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ready():  # type: ignore[operator]
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RecommendError(otherwise)


def _one_request(home: Path, url: str, plan: Plan) -> tuple[dict, dict]:
    """A request for somebody of the replay, with its answer."""
    from feature_repo.home import vault_path
    from feature_repo.identity import Vault, workspace_of

    replayed = json.loads(next((home / "reports" / "replay").glob("channel_browser-*.json")).read_text())
    user = replayed["users"][0]
    with Vault(vault_path()) as vault:
        (raw,) = vault.reveal(workspace_of(user), "user", [user])
    request = {
        "recommender": "channel_browser",
        "query": {"user_id": raw},
        "limit": 3,
        "as_of": f"{plan.until}T12:00:00Z",
    }
    return request, httpx.post(f"{url}/v1/recommend", json=request).json()


def _replays(home: Path) -> Table:
    """What came of each recommender under its heuristic and under the best learned ranker, on the same visits."""
    from serving.replay import load

    heads = ("recommender", "served by", "clicked", "Δ", "DCG@10", "Δ")
    shown = Table(
        *heads,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=f"replay of {REPLAYED_DAYS} days",
        title_style="bold",
    )
    for name in RECOMMENDERS:
        files = sorted((home / "reports" / "replay").glob(f"{name}-*.json"), key=lambda p: p.stat().st_mtime)
        first, *others = (load(f) for f in files)
        for replay in (first, *others):
            clicks, dcg = (None, None) if replay is first else replay.lifts(first)
            row = (replay.clickthrough(), clicks, replay.mean_dcg(), dcg)
            cells = (report.cell(asdict(i) if i else None, sign="+" * (n % 2)) for n, i in enumerate(row))
            shown.add_row(name, "\n".join(replay.rungs), *cells)
    return shown


def _summary(home: Path, plan: Plan, exchange: tuple[dict, dict], clock: Clock) -> None:
    console.rule("[bold]summary")
    for name in RECOMMENDERS:
        console.print(report.render(report.load(name)))
    console.print(_replays(home))
    request, answer = exchange
    console.print("[bold]one request[/bold]  POST /v1/recommend")
    console.print_json(data=request)
    console.print_json(data=answer)
    times = Table("stage", "seconds", title="Time")
    for stage, seconds in (*clock.seconds.items(), ("in all", sum(clock.seconds.values()))):
        times.add_row(stage, f"{seconds:.0f}")
    console.print(times)
    console.print(f"open      {home / 'reports' / 'index.html'}", soft_wrap=True, highlight=False)
    console.print(
        f"go on     export RECOMMEND_HOME={home}; .venv/bin/recommend serve --as-of {plan.until}",
        soft_wrap=True,
        highlight=False,
    )
    console.print("          then open http://127.0.0.1:3000/ and ask for somebody", highlight=False)


if __name__ == "__main__":
    try:
        main()
    except RecommendError as error:
        Console(stderr=True).print(f"error: {error}", soft_wrap=True, highlight=False, markup=False)
        raise SystemExit(2) from None
