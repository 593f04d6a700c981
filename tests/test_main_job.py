"""The main job, command by command, in a copy of the project, on an export full of names and with a feature added.

One loop serves every test here: it takes minutes.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_repo.chat.sample import generate

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parent.parent
UNTIL = date(2025, 9, 1)
AS_OF = UNTIL - timedelta(days=31)
PLANTED = ("waltraud", "quetzalcoatl.example", "the-secret-garden", "meet me at midnight")
"""A name, a mail domain, a channel's name, and a text."""


@dataclass(frozen=True)
class Loop:
    """A finished loop: the project's copy, its state, and what the commands printed."""

    project: Path
    home: Path
    printed: dict[str, str]

    def run(self, *words: str) -> str:
        return run(self.project, self.home, *words)


def run(project: Path, home: Path, *words: str) -> str:
    program, *arguments = words
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=project,
        env=environment(project, home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(project: Path, home: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(project),
        "RECOMMEND_HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def plant(raw: Path) -> None:
    """Turn the export's ids into names and addresses, and add columns of names and texts."""
    people = {"user_id", "mentioned_user_id", "author_id", "inviter_id", "creator_id"}
    places = {"channel_id", "linked_channel_id"}
    for file in raw.glob("*.parquet"):
        table = pq.read_table(file)
        for name in table.column_names:
            if name in people:
                named = pc.binary_join_element_wise("waltraud.", table[name], "@quetzalcoatl.example", "")
            elif name in places:
                named = pc.binary_join_element_wise("the-secret-garden-", table[name], "")
            else:
                continue
            table = table.set_column(table.column_names.index(name), name, named)
        table = table.append_column("text", pa.array(["meet me at midnight"] * len(table)))
        pq.write_table(table, file)


def add_a_feature(project: Path) -> None:
    """One column in one table, and one field in one view."""
    table = project / "feature_repo/chat/tables/user_activity.py"
    view = project / "feature_repo/chat/views/user_activity.py"
    anchor = 'total("mentions_made", 30).alias("mentions_made_30d"),'
    for file, old, new in (
        (table, anchor, f'{anchor}\n        total("mentions_made", 14).alias("mentions_made_14d"),'),
        (view, '"mentions_made_30d",', '"mentions_made_30d",\n        "mentions_made_14d",'),
    ):
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    base = tmp_path_factory.mktemp("main-job")
    project, home, raw = base / "project", base / "home", base / "raw"
    ignored = shutil.ignore_patterns(".git", ".venv", "data", "__pycache__", "tests", ".*_cache")
    shutil.copytree(PROJECT, project, ignore=ignored)
    add_a_feature(project)
    generate(raw, users=160, days=120, until=UNTIL)
    plant(raw)
    printed = {}

    def step(name: str, *words: str) -> None:
        printed[name] = run(project, home, *words)

    step("ingest", "recommend", "ingest", str(raw), "--format", "events", "--workspace", "waltraud's")
    since = AS_OF - timedelta(days=75)
    step("tables", "recommend", "tables", "--as-of", f"{AS_OF}", "--since", f"{since}", "--every", "weekly")
    step("apply", "feast", "-c", "feature_repo", "apply")
    step("plan", "feast", "-c", "feature_repo", "plan")
    step("materialize", "feast", "-c", "feature_repo", "materialize-incremental", f"{AS_OF}T00:00:00")
    step(
        "train",
        "recommend",
        "train",
        "composer_dm",
        "--as-of",
        f"{AS_OF}",
        "--model",
        "xgboost",
        "--test-cutoffs",
        "3",
    )
    step("promote", "recommend", "promote", "composer_dm", "latest")
    with server(project, home, "/readyz", "bentoml", "serve", "serving.service:Recommend") as url:
        days = ("--from", f"{AS_OF}", "--to", f"{AS_OF + timedelta(days=7)}")
        step("replay", "recommend", "replay", "composer_dm", *days, "--visits", "150", "--url", url)
        body = {"recommender": "composer_dm", "query": {"user_id": "waltraud.U0007@quetzalcoatl.example"}}
        body["as_of"] = f"{AS_OF}T12:00:00Z"
        printed["answer"] = httpx.post(f"{url}/v1/recommend", json=body).text
        printed["bad request"] = httpx.post(
            f"{url}/v1/recommend", json=body | {"limit": "meet me at midnight"}
        ).text
    step("monitor", "recommend", "monitor", "--as-of", f"{UNTIL + timedelta(days=10)}")
    return Loop(project, home, printed)


@contextmanager
def server(project: Path, home: Path, ready: str, *words: str) -> Iterator[str]:
    """A program that serves HTTP on a free port, added as ``--port``; answering at ``ready`` on entering."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program, *arguments = words
    log = home / f"{program}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *arguments, "--port", port],
            cwd=project,
            env=environment(project, home),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            await_answer(f"http://127.0.0.1:{port}{ready}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def await_answer(url: str, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer: {log.read_text()}")


def test_feast_plans_no_change_right_after_apply(loop: Loop) -> None:
    assert "No changes to registry" in loop.printed["plan"]
    assert "No changes to infrastructure" in loop.printed["plan"]


def test_feast_ui_opens_on_the_registry(loop: Loop) -> None:
    with server(loop.project, loop.home, "/", "feast", "-c", "feature_repo", "ui") as url:
        page = httpx.get(f"{url}/p/recommend").text
    assert "<html" in page


def test_evidently_ui_opens_on_the_reports(loop: Loop) -> None:
    workspace = str(loop.home / "reports" / "evidently")
    with server(loop.project, loop.home, "/api/projects", "evidently", "ui", "--workspace", workspace) as url:
        projects = httpx.get(f"{url}/api/projects").json()
    assert [p["name"] for p in projects] == ["composer_dm"]


def test_no_name_or_text_is_anywhere_but_in_the_vault(loop: Loop) -> None:
    searched, kept = 0, []
    for file in (f for f in loop.home.rglob("*") if f.is_file() and not f.name.startswith("vault.sqlite")):
        content = file.read_bytes().lower()
        if file.suffix == ".parquet":
            content += pq.read_table(file, partitioning=None).to_pandas().to_csv().lower().encode()
        searched += len(content)
        kept += [
            (file, word)
            for word in PLANTED
            if word.encode() in content or word.encode() in file.name.lower().encode()
        ]
    assert searched > 1_000_000
    assert kept == []
    vault = (loop.home / "vault.sqlite").read_bytes().lower()
    assert b"waltraud" in vault
    assert b"meet me at midnight" not in vault


def test_answers_are_in_the_callers_own_ids(loop: Loop) -> None:
    answer = json.loads(loop.printed["answer"])
    assert answer["rung"] == "xgboost"
    assert len(answer["items"]) == 10
    for item in answer["items"]:
        assert re.fullmatch(r"waltraud\.U\d+@quetzalcoatl\.example", item["id"])


def test_an_added_feature_reaches_training_and_serving(loop: Loop) -> None:
    (card,) = (json.loads(f.read_text()) for f in loop.home.rglob("card.json"))
    name = "user_activity__mentions_made_14d"
    assert name in card["feature_names"]
    assert "peer_activity__mentions_made_14d" in card["feature_names"]
    files = list((loop.home / "log" / "impressions").rglob("*.parquet"))
    logged = pa.concat_tables(pq.read_table(f, partitioning=None) for f in files).to_pandas()
    ranked = logged[logged["rung"] == "xgboost"]
    served = {
        q: f[card["feature_names"].index(name)]
        for q, f in zip(ranked["query_id"], ranked["features"], strict=True)
    }
    built = pq.read_table(
        loop.home / "tables" / "user_activity" / f"day={AS_OF}", partitioning=None
    ).to_pandas()
    known = built.set_index("user_id")["mentions_made_14d"]
    assert any(value > 0 for value in served.values())
    for query, value in served.items():
        assert value == known[query] or (value != value and known[query] != known[query])


def test_what_was_shown_and_chosen_is_logged_and_reported(loop: Loop) -> None:
    replayed = json.loads(next((loop.home / "reports" / "replay").glob("*.json")).read_text())
    assert len(replayed["clicks"]) == 150
    assert sum(replayed["clicks"]) > 0
    files = list((loop.home / "log" / "outcomes").rglob("*.parquet"))
    outcomes = pa.concat_tables(pq.read_table(f, partitioning=None) for f in files)
    assert len(outcomes) == sum(replayed["clicks"])
    page = (loop.home / "reports" / "index.html").read_text()
    assert f"{len(outcomes)}" in page
    assert "composer_dm" in page


def test_every_command_says_what_to_run_next(loop: Loop) -> None:
    for name in ("ingest", "tables", "train", "promote", "replay"):
        assert "next:" in loop.printed[name]
