"""Every check of `recommend doctor`: what it finds, and that it names what mends it."""

import os
import socket
import sys
from pathlib import Path

import pytest

from feature_repo import doctor
from feature_repo.doctor import Finding, examine
from feature_repo.home import events_path, feast_path, models_path, tables_path, vault_path

STEPS = (
    ("identity vault", lambda: vault_path(), "recommend ingest PATH --format FORMAT --workspace NAME"),
    ("event tables", lambda: events_path() / "messages", "recommend ingest PATH"),
    ("offline tables", lambda: tables_path() / "user_activity", "recommend tables"),
    ("Feast registry", lambda: feast_path() / "registry.db", "feast -c feature_repo apply"),
    ("online store", lambda: feast_path() / "online", "feast -c feature_repo materialize-incremental"),
    ("models", lambda: models_path() / "models" / "channel_browser", "recommend train NAME"),
    ("champions", lambda: models_path() / "champions" / "a.json", "recommend promote NAME VERSION"),
)


@pytest.fixture(autouse=True)
def _no_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECOMMEND_HOME", str(tmp_path / "home"))


def finding(what: str) -> Finding:
    (found,) = [f for f in examine() if f.what == what]
    return found


def fake_java(folder: Path, banner: str) -> Path:
    """A `java` that says its version as the real one does, on standard error."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{banner}' >&2\n")
    program.chmod(0o755)
    return folder


def test_what_blocks_is_mended_and_every_check_is_there() -> None:
    found = examine()
    assert all(f.mend for f in found if f.blocking)
    assert [f.what for f in found if f.what in {step[0] for step in STEPS}] == [step[0] for step in STEPS]
    assert {"Python", "Java", "packages", "state folder", "free disk", "port 3000"} <= {f.what for f in found}


def test_this_python_and_its_packages_are_right() -> None:
    assert finding("Python") == Finding("Python", ".".join(map(str, sys.version_info[:3])))
    assert int(finding("packages").state.split()[0]) >= 20
    assert not [f for f in examine() if f.mend == "run `make setup`"]


def test_java_that_is_missing_blocks_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = finding("Java")
    assert (found.state, found.blocking) == ("not found", True)
    assert found.mend == "Spark needs 17 or 21: run `make java`, or point JAVA_HOME at one"


def test_a_java_home_without_java_is_missing_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert finding("Java").state == "not found"


@pytest.mark.parametrize(
    ("banner", "state", "blocking"),
    [
        ('openjdk version "17.0.9" 2023-10-17', "17", False),
        ('openjdk version "21" 2023-09-19', "21", False),
        ('openjdk version "11.0.2" 2019-01-15', "11", True),
        ('java version "1.8.0_392"', "1", True),
        ("cannot start", "not found", True),
    ],
)
def test_the_version_of_java_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, banner: str, state: str, blocking: bool
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "jdk", banner)))
    found = finding("Java")
    assert (found.state, found.blocking, found.mend is not None) == (state, blocking, blocking)


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[step[0] for step in STEPS])
def test_a_step_is_not_yet_until_its_state_is_there(step: int) -> None:
    what, where, command = STEPS[step]
    before = finding(what)
    assert (before.state, before.blocking) == ("not yet", False)
    assert before.mend is not None
    assert command in before.mend
    where().parent.mkdir(parents=True)
    where().touch()
    assert finding(what) == Finding(what, "there")


def test_an_empty_folder_is_not_yet() -> None:
    tables_path().mkdir(parents=True)
    assert finding("offline tables").state == "not yet"


def test_looking_changes_nothing(tmp_path: Path) -> None:
    examine()
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_blocks(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = finding("state folder")
    tmp_path.chmod(0o700)
    assert found.blocking
    assert "set RECOMMEND_HOME" in str(found.mend)


def test_little_free_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("free disk").state.endswith(" GB")
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 1e9)
    assert "free at least" in str(finding("free disk").mend)


def test_a_taken_port_is_said_and_a_free_one_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        monkeypatch.setattr(doctor, "SERVICE_PORT", port)
        listener.listen()
        taken = finding(f"port {port}")
    assert taken.state == "something listens there"
    assert "recommend serve --port" in str(taken.mend)
    assert finding(f"port {port}") == Finding(f"port {port}", "free")
