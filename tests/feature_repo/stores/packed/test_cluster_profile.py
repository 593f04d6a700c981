"""``feature_store.cluster.yaml`` by Feast's own command: a real Redis, Spark, a SQL registry; the rows are the embedded
profile's, byte for byte."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from feature_repo.home import PROJECT
from tests.feature_repo.stores.packed.spark_repo import redis_dump
from tests.redis_server import RedisServer, free_port
from tests.serving.live_server import environment

REPO = PROJECT / "feature_repo"
CLUSTER = REPO / "feature_store.cluster.yaml"
VIEWS = ("channel_activity", "user_activity", "channel_candidates", "popular_channels")
SMALL_HOME = "tests/serving/small_home.py"

_READ = """
import sys
from datetime import timedelta
import numpy as np
from feast import FeatureStore
from feature_repo.catalog import feast_repo
from feature_repo.home import vault_path
from feature_repo.identity import Vault
from feature_repo.stores.packed.matrix import MatrixReader
from tests.serving.small_home import CHANNELS, SNAPSHOT, WORKSPACE

with Vault(vault_path()) as vault:
    (user,) = vault.intern(WORKSPACE, "user", ["U1"]).tolist()
    channels = vault.intern(WORKSPACE, "channel", CHANNELS)
reader = MatrixReader.of_store(FeatureStore(str(feast_repo())), "channel_browser")
matrix = reader.read({"user_id": user}, channels, "channel_id", SNAPSHOT + timedelta(days=1))
np.save(sys.argv[1], matrix.values)
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Cluster:
    """A state folder whose embedded profile is built, and what the cluster profile is to use."""

    home: Path
    variables: dict[str, str]
    redis: RedisServer

    def feast(
        self, *arguments: str, without: str | None = None, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command in the feature repo, perhaps with a variable missing."""
        variables = environment(self.home) | self.variables | more
        return subprocess.run(
            [str(Path(sys.executable).with_name("feast")), *arguments],
            cwd=REPO,
            env={name: value for name, value in variables.items() if name != without},
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *arguments: str, **more: str) -> str:
        """What the command prints."""
        done = self.feast(*arguments, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def matrix(self, path: Path, settings: Path | None) -> Any:
        """What a ranker would be fed from that profile's online store."""
        variables = environment(self.home, settings) | self.variables
        subprocess.run([sys.executable, "-c", _READ, str(path)], cwd=PROJECT, env=variables, check=True)
        return np.load(path)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    home = folder / "home"
    subprocess.run([sys.executable, SMALL_HOME], cwd=PROJECT, env=environment(home), check=True)
    server = RedisServer(free_port())
    server.start()
    variables = {
        "FEAST_REGISTRY_URL": f"sqlite:///{folder / 'registry.sqlite'}",
        "REDIS_HOST": "localhost",
        "REDIS_PORT": str(server.port),
        "REDIS_PASSWORD": "",
        "REDIS_TLS": "false",
        "REDIS_CA_CERTS": "",
        "SPARK_MASTER": "local[2]",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": os.defpath + os.pathsep + os.environ["PATH"],  # whose python3 need not be this one
    }
    yield Cluster(home, variables, server)
    server.stop()


def test_the_commands_lead_to_the_embedded_profiles_rows(cluster: Cluster, tmp_path: Path) -> None:
    by_option = ("-f", CLUSTER.name)
    assert "Created feature view user_channel_affinity" in cluster.succeed(*by_option, "plan")
    assert "Deploying infrastructure for user_channel_affinity" in cluster.succeed(*by_option, "apply")
    planned = cluster.succeed(*by_option, "plan")
    assert "No changes to registry" in planned
    assert "No changes to infrastructure" in planned
    interval = ("2025-07-31T00:00:00", "2025-08-01T00:00:00")
    cluster.succeed(*by_option, "materialize", *interval, "-v", "user_channel_affinity")
    views = [part for view in VIEWS for part in ("-v", view)]
    by_variable = {"FEAST_FS_YAML_FILE_PATH": str(CLUSTER)}
    cluster.succeed("materialize-incremental", "2025-08-02T00:00:00", *views, **by_variable)
    with (
        lmdb.open(str(cluster.home / "feast" / "online"), readonly=True) as embedded,
        embedded.begin() as rows,
    ):
        assert redis_dump(cluster.redis.port) == dict(rows.cursor())
    found = cluster.matrix(tmp_path / "cluster.npy", CLUSTER)
    assert np.array_equal(found, cluster.matrix(tmp_path / "embedded.npy", None), equal_nan=True)
    assert np.isfinite(found).mean() > 0.5


@pytest.mark.parametrize("name", ["REDIS_PASSWORD", "REDIS_PORT"])
def test_a_variable_that_is_not_set_is_named(cluster: Cluster, name: str) -> None:
    refused = cluster.feast("-f", CLUSTER.name, "plan", without=name)
    assert refused.returncode != 0
    assert f"the environment variable {name} is not set" in refused.stderr
