"""One Spark session for all, and two random workspaces whose snapshots are built once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from feature_repo import offline
from feature_repo.catalog import event_tables, offline_tables
from feature_repo.offline import Step
from feature_repo.spark import session
from feature_repo.tables import OfflineTable, partition
from tests.feature_repo.tables.workspace import EARLY, LATE, Workspace, random_workspace

Key = tuple[int, ...]
Rows = dict[Key, dict[str, Any]]


@dataclass(frozen=True)
class Built:
    """Two workspaces, and the state folder that holds their snapshots of `EARLY` and `LATE`."""

    home: Path
    workspaces: tuple[Workspace, Workspace]


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> SparkSession:
    """The session of this process; its scratch lies in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        # Tiny data in many plans: compiling the JVM's code well costs more than it brings.
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
        patch.setenv("RECOMMEND_HOME", str(tmp_path_factory.mktemp("spark")))
        return session("tests")


@pytest.fixture(scope="session")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both days in one run. Not to be changed."""
    home = tmp_path_factory.mktemp("built")
    workspaces = (random_workspace(1), random_workspace(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(home))
        for workspace in workspaces:
            workspace.write()
        build_all((EARLY, LATE))
    return Built(home, workspaces)


@pytest.fixture
def community(built: Built, monkeypatch: pytest.MonkeyPatch) -> Built:
    """The built workspaces as the state folder of a test that only reads it."""
    monkeypatch.setenv("RECOMMEND_HOME", str(built.home))
    return built


@pytest.fixture
def home(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder."""
    monkeypatch.setenv("RECOMMEND_HOME", str(tmp_path))
    return tmp_path


def build_all(days: Sequence[date], tables: Sequence[OfflineTable] | None = None) -> None:
    """Build those days of every table (or of some, in an order in which each follows those it reads)."""
    named = offline_tables()
    ordered = tables or [
        named[step.table.name] for step in offline.steps(named, as_of=days[0], since=days[0])
    ]
    offline.build([Step(table, tuple(days)) for table in ordered], event_tables())


def read(table: str, day: date, keys: Sequence[str] = ()) -> Rows:
    """The rows of a snapshot by workspace and key."""
    (file,) = partition(table, day).glob("*.parquet")
    rows = pq.read_table(file, partitioning=None).drop_columns(["event_timestamp", "created"]).to_pylist()
    by = ("workspace_id", *dict.fromkeys(keys or offline_tables()[table].keys))
    return {tuple(r[k] for k in dict.fromkeys(by)): {c: v for c, v in r.items() if c not in by} for r in rows}


def assert_same(left: Rows, right: Rows) -> None:
    """The same keys, and the same values up to the order in which a sum was added up."""
    assert left.keys() == right.keys()
    for key, row in left.items():
        for name, value in row.items():
            other = right[key][name]
            assert value == (pytest.approx(other, rel=1e-6) if isinstance(value, float) else other), (
                key,
                name,
            )
