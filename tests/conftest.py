"""State folders: one that is whole, built once for all tests; a copy of it to change; an empty one."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.home import PROJECT
from tests.serving.live_server import environment


@pytest.fixture(scope="session")
def built_community(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tests.community` leaves behind. Not to be changed."""
    home = tmp_path_factory.mktemp("community") / "home"
    build = [sys.executable, "-m", "tests.community"]
    built = subprocess.run(build, cwd=PROJECT, env=environment(home), capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    return home


@pytest.fixture
def community(built_community: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The community as the state folder of one test that only reads it."""
    yield from _used(built_community, monkeypatch)


@pytest.fixture
def own_community(built_community: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the community, to be changed. Its registry still names the tables of the original."""
    yield from _used(Path(shutil.copytree(built_community, tmp_path / "community")), monkeypatch)


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder before the first command; it does not exist yet."""
    yield from _used(tmp_path / "home", monkeypatch)


def _used(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from training.features import feature_store  # Feast costs seconds, and most tests do without

    monkeypatch.setenv("RECOMMEND_HOME", str(home))
    feature_store.cache_clear()
    yield home
    feature_store.cache_clear()
