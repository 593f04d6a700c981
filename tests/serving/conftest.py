"""Two real servers: one on a small but whole state folder, one on a folder where only ingest has been run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.home import PROJECT
from feature_repo.identity import Vault
from tests.serving.live_server import Server, environment, launch
from tests.serving.own_domain import own_domain_server


@pytest.fixture(scope="session")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server started before ``feast apply``; not waited for."""
    home = tmp_path_factory.mktemp("bare") / "home"
    with Vault(home / "vault.sqlite") as vault:
        vault.intern(vault.workspace("acme", create=True), "channel", ["C1"])
    server = launch(home)
    yield server
    if server.process.poll() is None:
        server.terminate()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, bare_server: Server) -> Iterator[Server]:
    """A server on all that it needs, with a model promoted for channel_browser and none for composer_dm."""
    home = tmp_path_factory.mktemp("whole") / "home"
    build = [sys.executable, str(Path(__file__).with_name("small_home.py"))]
    built = subprocess.run(build, cwd=PROJECT, env=environment(home), capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    running = launch(home).wait_until_ready()
    yield running
    running.terminate()


@pytest.fixture(scope="session")
def own_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """See `own_domain.own_domain_server`."""
    with own_domain_server(tmp_path_factory.mktemp("arms")) as server:
        yield server


@pytest.fixture(autouse=True)
def _state_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This process reads the state folder of the server under test."""
    used = next((n for n in ("server", "bare_server", "own_domain") if n in request.fixturenames), None)
    home = request.getfixturevalue(used).home if used else tmp_path
    monkeypatch.setenv("RECOMMEND_HOME", str(home))
