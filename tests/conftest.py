"""State folders: one that is whole and one with models, built once for all tests; copies to change; an empty one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from feature_repo.home import PROJECT
from tests.serving.live_server import environment
from tests.state_folder import state_folder

if TYPE_CHECKING:
    from training.job import Training

# How long an example takes says more about what else the machine does than about the code; and a change is
# judged by the examples that its author saw, while everybody's own runs go on looking for new ones.
settings.register_profile("untimed", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("untimed")


@dataclass(frozen=True)
class Trained:
    """A state folder with all rungs in its model store, and what training them came to."""

    home: Path
    training: "Training"


@pytest.fixture(scope="session")
def built_community(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tests.community` leaves behind. Not to be changed."""
    home = tmp_path_factory.mktemp("community") / "home"
    build = [sys.executable, "-m", "tests.community"]
    built = subprocess.run(build, cwd=PROJECT, env=environment(home), capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    return home


@pytest.fixture(scope="session")
def built_trained(built_community: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The community with its recommender trained. Not to be changed."""
    from feature_repo.catalog import recommender
    from tests.community import AS_OF, NAME
    from training.job import train

    home = Path(shutil.copytree(built_community, tmp_path_factory.mktemp("trained") / "home"))
    with state_folder(home):
        return Trained(home, train(recommender(NAME), AS_OF))


@pytest.fixture
def community(built_community: Path) -> Iterator[Path]:
    """The community as the state folder of one test that only reads it."""
    with state_folder(built_community) as home:
        yield home


@pytest.fixture
def own_community(built_community: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the community, to be changed. Its registry still names the tables of the original."""
    with state_folder(Path(shutil.copytree(built_community, tmp_path / "community"))) as home:
        yield home


@pytest.fixture
def trained(built_trained: Trained) -> Iterator[Trained]:
    """The trained community as the state folder of one test that only reads it."""
    with state_folder(built_trained.home):
        yield built_trained


@pytest.fixture
def own_trained(built_trained: Trained, tmp_path: Path) -> Iterator[Trained]:
    """A copy of the trained community, to be changed."""
    with state_folder(Path(shutil.copytree(built_trained.home, tmp_path / "trained", symlinks=True))) as home:
        yield Trained(home, built_trained.training)


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Path]:
    """A state folder before the first command; it does not exist yet."""
    with state_folder(tmp_path / "home") as home:
        yield home
