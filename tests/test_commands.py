"""The command line: what each command says, and that bad input is one line which says how to mend it."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

import recommend
from feature_repo.chat.events import MESSAGES, PUBLIC
from feature_repo.home import PROJECT, reports_path
from tests.community import AS_OF, NAME
from tests.conftest import Trained
from tests.hand_made import write_channels, write_events, write_people
from tests.serving.live_server import environment
from training import bundle, report
from training.champion import champion
from training.rankers import LADDER

COMMANDS = ("sample", "ingest", "tables", "train", "promote", "serve", "replay", "monitor", "doctor")
DATE = f"{AS_OF:%Y-%m-%d}"


@dataclass(frozen=True)
class Ran:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def command(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["recommend", *arguments])
        with pytest.raises(SystemExit) as end:
            recommend.main()
        printed = capsys.readouterr()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Ran(code or 0, printed.out, printed.err)

    return command


def files(home: Path) -> dict[str, bytes]:
    """Everything under the state folder."""
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def assert_mendable(ran: Ran, *said: str) -> None:
    """Exit code 2, nothing on standard output, and one line on standard error with all of ``said``."""
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert all(part in ran.err for part in said), ran.err


def test_help_lists_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, recommend\n"
        "sys.argv = ['recommend', '--help']\n"
        "try:\n"
        "    recommend.main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'feast', 'pyspark', 'bentoml', 'evidently', 'duckdb', 'pandas', 'lightgbm', 'xgboost', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    ran = python("-c", program, home=tmp_path / "home")
    assert ran.code == 0, ran.err
    assert all(f" {command} " in ran.out for command in COMMANDS)
    assert not (tmp_path / "home").exists()


def test_a_real_process_says_one_line_and_ends_with_2(tmp_path: Path) -> None:
    """No library adds a line of its own to standard error."""
    ran = python("recommend.py", "train", NAME, "--as-of", DATE, home=tmp_path / "home")
    assert_mendable(ran, f"`recommend tables --as-of {DATE}` first")
    assert not files(tmp_path)


def python(*arguments: str, home: Path) -> Ran:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


BAD_INPUT = {
    "ingest, missing folder": (
        ("ingest", "no/such/folder", "--format", "events", "--workspace", "a"),
        "no/such/folder does not exist: give the path of the export",
    ),
    "ingest, format": (
        ("ingest", ".", "--format", "xls", "--workspace", "a"),
        "no export format named 'xls': choose one of events, slack-export, zulip-archive",
    ),
    "ingest, date": (
        ("ingest", ".", "--format", "events", "--workspace", "a", "--as-of", "soon"),
        "'soon' is not an instant: write 2025-08-01",
    ),
    "tables, no events": (("tables", "--as-of", DATE), "run `recommend ingest PATH` first"),
    "tables, date": (("tables", "--as-of", "2025-02-30"), "'2025-02-30' is not an instant"),
    "train, no tables": (("train", NAME, "--as-of", DATE), f"run `recommend tables --as-of {DATE}` first"),
    "train, now": (("train", NAME), "run `recommend tables --as-of "),
    "train, recommender": (
        ("train", "nosuch", "--as-of", DATE),
        "no recommender named 'nosuch': choose one of channel_browser, composer_dm",
    ),
    "train, model": (
        ("train", NAME, "--as-of", DATE, "--model", "forest"),
        "no ranker named 'forest': choose one of heuristic, logistic, lightgbm, xgboost",
    ),
    "train, date": (("train", NAME, "--as-of", "9999-12-31"), "later than the year 2199: choose an earlier"),
    "train, year 1": (("train", NAME, "--as-of", "0001-01-01T00:00+02:00"), "is not an instant: write 2025"),
    "promote, recommender": (("promote", "nosuch", "latest"), "no recommender named 'nosuch': choose one of"),
    "promote, nothing trained": (("promote", NAME, "latest"), f"run `recommend train {NAME}` first"),
    "promote, no version": (("promote", NAME, "../../etc"), "no version '../../etc' of channel_browser"),
    "replay, recommender": (
        ("replay", "nosuch", "--from", "2025-08-01", "--to", "2025-08-31"),
        "no recommender named 'nosuch': choose one of",
    ),
    "replay, nobody": (
        ("replay", NAME, "--from", "2025-08-01", "--to", "2025-08-31"),
        "nobody did join from 2025-08-01",
    ),
    "replay, date": (
        ("replay", NAME, "--from", "2025-08-01", "--to", "9999-12-31"),
        "later than the year 2199",
    ),
    "monitor, date": (("monitor", "--as-of", "08/2025"), "'08/2025' is not an instant: write 2025-08-01"),
    "monitor, since": (("monitor", "--since", ""), "'' is not an instant: write 2025-08-01"),
    "sample, date": (("sample", "--until", "never"), "'never' is not an instant: write 2025-08-01"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_before_anything_is_there(run: Run, empty_home: Path, case: str) -> None:
    arguments, said = BAD_INPUT[case]
    assert_mendable(run(*arguments), said)
    assert not empty_home.exists() or not files(empty_home)


def test_tables_before_the_first_event_name_when_that_was(run: Run, empty_home: Path) -> None:
    write_people(AS_OF, [1])
    write_channels(AS_OF, {2: PUBLIC})
    write_events(
        MESSAGES, [{"message_id": 3, "user_id": 1, "channel_id": 2, "at": AS_OF + timedelta(hours=1)}]
    )
    before = files(empty_home)
    said = (f"as of {DATE} 00:00 nothing had happened", f"is of {DATE} 00:00", "choose a later --as-of")
    assert_mendable(run("tables", "--as-of", DATE), *said)
    assert_mendable(run("tables", "--as-of", "2026-01-01", "--every", "hourly"), "daily, weekly, monthly")
    assert files(empty_home) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("promote", NAME, "nosuch"), "no version 'nosuch' of channel_browser (stored: "),
        (("promote", "composer_dm", "latest"), "`recommend train composer_dm` first"),
        (("train", NAME, "--as-of", DATE, "--test-cutoffs", "99"), "use fewer --test-cutoffs"),
        (("train", "composer_dm", "--as-of", DATE), "people_candidates has no snapshot"),
    ],
    ids=["version", "untrained", "cut-offs", "other tables"],
)
def test_bad_input_on_a_whole_state_folder_changes_nothing(
    run: Run, own_trained: Trained, arguments: tuple[str, ...], said: str
) -> None:
    before = files(own_trained.home)
    assert_mendable(run(*arguments), said)
    assert files(own_trained.home) == before


def test_replay_without_a_service_says_how_to_start_one(run: Run, own_trained: Trained) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        days = ("--from", "2025-08-04", "--to", "2025-08-10")
        ran = run("replay", NAME, *days, "--visits", "3", "--url", url)
    assert_mendable(ran, f"no service answers at {url}", "start it with `recommend serve`")
    assert not reports_path().exists()


def test_a_port_that_is_taken_is_said_in_a_line(run: Run, empty_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert_mendable(run("serve", "--port", port), port, "choose another with --port")


def test_train_prints_the_evidence_stores_it_and_says_what_is_next(run: Run, own_community: Path) -> None:
    ran = run("train", NAME, "--as-of", DATE, "--model", "logistic")
    (version,) = bundle.versions(NAME)
    assert (ran.code, ran.err) == (0, "")
    assert f"{NAME}, judged at 2025-07-21" in ran.out
    assert f"stored {NAME}:{version}  (logistic)" in ran.out
    assert ran.out.splitlines()[-1].startswith(f"next: recommend promote {NAME} {version}")
    assert report.load(NAME)["best"] == version


def test_promote_says_what_serves_and_instead_of_what(run: Run, own_trained: Trained) -> None:
    versions = {t.card.ranker: t.card.version for t in own_trained.training.trained}
    first = run("promote", NAME, "heuristic")
    assert first.out.splitlines() == [
        f"{NAME} is served by {versions['heuristic']}",
        "next: recommend serve",
    ]
    second = run("promote", NAME, versions[LADDER[-1]])
    assert f"is served by {versions[LADDER[-1]]} instead of {versions['heuristic']}" in second.out
    promoted = champion(NAME)
    assert promoted is not None
    assert promoted.version == versions[LADDER[-1]]


def test_monitor_without_a_log_gives_a_page(run: Run, empty_home: Path) -> None:
    ran = run("monitor", "--as-of", DATE)
    assert (ran.code, ran.err) == (0, "")
    assert f"{NAME}: no traffic yet" in ran.out
    assert ran.out.splitlines()[-1] == f"open {reports_path() / 'index.html'}"
    assert "<html" in (reports_path() / "index.html").read_text()


def test_sample_and_ingest_hand_over_to_each_other(run: Run, empty_home: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw"
    sampled = run("sample", "--users", "20", "--days", "10", "--out", str(out))
    assert (sampled.code, sampled.err) == (0, "")
    assert "recommend ingest" in sampled.out.splitlines()[-1]
    first = run("ingest", str(out), "--format", "events", "--workspace", "sample", "--as-of", "2025-09-01")
    again = run("ingest", str(out), "--format", "events", "--workspace", "sample", "--as-of", "2025-09-01")
    assert (first.code, again.code) == (0, 0)
    assert first.out.splitlines()[-1] == "next: recommend tables --as-of DATE"
    (messages,) = [line for line in first.out.splitlines() if line.split()[0] == "messages"]
    assert " 0 kept" not in messages
    assert all(" 0 kept" in line for line in again.out.splitlines() if "read =" in line)


def test_an_ingest_past_the_threshold_prints_its_counts_and_the_mend(
    run: Run, empty_home: Path, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    export.mkdir()
    stamp = "2025-01-01T00:00:00+00:00"
    (export / "users.jsonl").write_text(json.dumps({"user_id": "U1", "is_bot": False, "ts": stamp}))
    (export / "channels.jsonl").write_text(json.dumps({"channel_id": "C1", "kind": 0, "ts": stamp}))
    rows = [{"message_id": f"m{n}", "user_id": "U1", "channel_id": "nowhere", "ts": stamp} for n in range(3)]
    (export / "messages.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ran = run("ingest", str(export), "--format", "events", "--workspace", "a", "--as-of", DATE)
    assert ran.code == 2
    assert "3 quarantined" in ran.out
    assert ran.err.count("\n") == 1
    assert "mend the export, or raise the threshold" in ran.err


def test_doctor_names_the_next_step_and_fails_only_where_nothing_works(
    run: Run, empty_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = run("doctor")
    assert "event tables: not yet → run `recommend ingest PATH" in ran.out
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    without = run("doctor")
    assert without.code == 1
    assert "✗ Java: not found → Spark needs 17 or 21: run `make java`" in without.out
    assert not empty_home.exists()
