"""What a person would check by hand when something does not start: one finding a line, each with its mend."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from feature_repo.home import events_path, feast_path, home, models_path, tables_path, vault_path
from feature_repo.spark import JAVA_VERSIONS, java_version

LEAST_FREE_GB = 5.0
SERVICE_PORT = 3000


@dataclass(frozen=True)
class Finding:
    """One check.

    Args:
        what: What was looked at.
        state: What was found.
        mend: What to do, or None where all is well.
        blocking: Whether nothing works before it is mended; otherwise it is only the next step.
    """

    what: str
    state: str
    mend: str | None = None
    blocking: bool = False


def examine() -> list[Finding]:
    """Every check, in the order in which a new user would meet them."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _java, _packages, _disk, _state, _port)
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    right = sys.version_info[:2] == (3, 11)
    yield Finding(
        "Python", found, None if right else "make a virtual environment with Python 3.11", blocking=not right
    )


def _java() -> Iterator[Finding]:
    found = java_version()
    if found in JAVA_VERSIONS:
        yield Finding("Java", str(found))
    else:
        state = "not found" if found is None else str(found)
        yield Finding(
            "Java", state, "Spark needs 17 or 21: run `make java`, or point JAVA_HOME at one", blocking=True
        )


def _packages() -> Iterator[Finding]:
    needed = [Requirement(text) for text in requires("recommend") or ()]
    for requirement in (r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})):
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding(requirement.name, "not installed", "run `make setup`", blocking=True)
            continue
        if not requirement.specifier.contains(found):
            yield Finding(
                requirement.name,
                f"{found}, wanted {requirement.specifier}",
                "run `make setup`",
                blocking=True,
            )
    yield Finding("packages", f"{len(needed)} requirements looked at")


def _disk() -> Iterator[Finding]:
    folder = next(p for p in (home(), *home().parents) if p.exists())
    free = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    yield Finding(
        "state folder",
        str(home()),
        None if writable else f"{folder} is not writable: set RECOMMEND_HOME",
        blocking=not writable,
    )
    yield Finding(
        "free disk",
        f"{free:.0f} GB",
        None if free > LEAST_FREE_GB else f"free at least {LEAST_FREE_GB:.0f} GB",
    )


def _state() -> Iterator[Finding]:
    steps: tuple[tuple[str, Path, str], ...] = (
        ("identity vault", vault_path(), "recommend ingest PATH --format FORMAT --workspace NAME"),
        ("event tables", events_path(), "recommend ingest PATH --format FORMAT --workspace NAME"),
        ("offline tables", tables_path(), "recommend tables"),
        ("Feast registry", feast_path() / "registry.db", "feast -c feature_repo apply"),
        ("online store", feast_path() / "online", "feast -c feature_repo materialize-incremental DATE"),
        ("models", models_path() / "models", "recommend train NAME"),
        ("champions", models_path() / "champions", "recommend promote NAME VERSION"),
    )
    for what, path, command in steps:
        if path.exists() and (path.is_file() or any(path.iterdir())):
            yield Finding(what, "there")
        else:
            yield Finding(what, "not yet", f"run `{command}`")


def _port() -> Iterator[Finding]:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", SERVICE_PORT)) == 0
    state = "something listens there" if taken else "free"
    mend = "fine if it is this service; otherwise `recommend serve --port N`" if taken else None
    yield Finding(f"port {SERVICE_PORT}", state, mend)
