"""Where the monitoring tests keep their state, and the recommender that they watch."""

from pathlib import Path

import pytest

from feature_repo.catalog import recommenders
from feature_repo.recommender import Recommender


@pytest.fixture(scope="session")
def recommender() -> Recommender:
    """The first that the domain declares: nothing here depends on which."""
    return next(iter(recommenders().values()))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECOMMEND_HOME", str(tmp_path))
    return tmp_path
