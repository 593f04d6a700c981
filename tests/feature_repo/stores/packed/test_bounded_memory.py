"""Materialization holds batches, not the table: ten times the rows cost hardly more memory, in any Python process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from feature_repo.home import PROJECT
from tests.feature_repo.stores.packed.spark_repo import DUCKDB, SPARK, floats, on_redis, store_of
from tests.feature_repo.stores.small_repo import ENGINE, PACKED
from tests.redis_server import RedisServer

ROWS, COLUMNS = 50_000, 64
MB = 1_000_000
HELD = 10 * ROWS * (24 + COLUMNS // 8 + 4 * COLUMNS + 17 + 2 * 33)
"""Bytes that the larger table's packed rows and their keys would take, were they all in memory: 185 MB."""

DUCKDB_LIMIT = 160 * MB
"""DuckDB sorts the table, and may use so much before it spills."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's peak is read in /proc"),
]

# getrusage would count the peak of the process that started this one as its own.
_PEAK = """
import json, sys
from pathlib import Path

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
"""

_MATERIALIZE = """
from feast import FeatureStore
from feast.repo_config import load_repo_config
from tests.feature_repo.stores.packed.spark_repo import SPAN

folder = Path(sys.argv[1])
FeatureStore(config=load_repo_config(folder, folder / "feature_store.yaml")).materialize(*SPAN)
peaks = {"driver": peak()}
"""

# A worker process lives on for the next task: with one core, it is the one that packed and stored the rows.
_LOOK_AT_THE_WORKER = """
import pyarrow as pa
from pyspark.sql import SparkSession

def worker(batches):
    yield pa.RecordBatch.from_pydict({"peak": [peak()], "packed": ["feature_repo.stores.packed.bulk" in sys.modules]})

(row,) = SparkSession.getActiveSession().range(1).mapInArrow(worker, "peak bigint, packed boolean").collect()
assert row.packed
peaks["executor"] = row.peak
"""

_TELL = "print(json.dumps(peaks))"


def _peaks(script: str, folder: Path, offline: dict[str, Any], port: int, rows: int) -> dict[str, int]:
    """Bytes that each process took at most to materialize a table of so many rows."""
    redis.Redis(port=port).flushall()
    folder.mkdir()
    store_of(folder, offline["type"], on_redis(port), floats(folder / "t.parquet", rows, COLUMNS))
    settings = {
        "project": "small",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "online_store": {"type": PACKED, **on_redis(port)},
        "offline_store": offline,
        "batch_engine": {"type": ENGINE, "batch_rows": 2048},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(json.dumps(settings))
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, "-W", "ignore", "-c", script, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client: Any = redis.Redis(port=port)
    assert client.dbsize() == rows + 1
    client.flushall()
    peaks: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return peaks


def test_from_duckdb(tmp_path: Path, running_redis: RedisServer) -> None:
    offline = {"type": DUCKDB, "memory_limit": f"{DUCKDB_LIMIT // MB}MB", "temp_directory": str(tmp_path)}
    script = _PEAK + _MATERIALIZE + _TELL
    small = _peaks(script, tmp_path / "small", offline, running_redis.port, ROWS)
    large = _peaks(script, tmp_path / "large", offline, running_redis.port, 10 * ROWS)
    assert large["driver"] - small["driver"] < DUCKDB_LIMIT < HELD


def test_from_spark(tmp_path: Path, running_redis: RedisServer) -> None:
    conf = {
        "spark.master": "local[1]",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(tmp_path),
        "spark.sql.session.timeZone": "UTC",
    }
    offline = {"type": SPARK, "spark_conf": conf}
    script = _PEAK + _MATERIALIZE + _LOOK_AT_THE_WORKER + _TELL
    small = _peaks(script, tmp_path / "small", offline, running_redis.port, ROWS)
    large = _peaks(script, tmp_path / "large", offline, running_redis.port, 10 * ROWS)
    assert large["driver"] - small["driver"] < 5 * MB
    assert large["executor"] - small["executor"] < 20 * MB < HELD
