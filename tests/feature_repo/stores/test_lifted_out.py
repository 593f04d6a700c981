"""The stores alone, without the project around them, as another Feast user would take them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo.home import PROJECT

SETTINGS = """
project: elsewhere
provider: local
registry: registry.db
online_store:
  type: feature_repo.stores.packed.online_store.PackedOnlineStore
  path: online
offline_store:
  type: feature_repo.stores.duckdb.store.AsofDuckDBOfflineStore
batch_engine:
  type: feature_repo.stores.packed.engine.PackedComputeEngine
entity_key_serialization_version: 3
"""
PROGRAM = """
import importlib, pkgutil, sys
from datetime import datetime, timezone, timedelta
import numpy as np, pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

import feature_repo.stores as stores
for module in pkgutil.walk_packages(stores.__path__, "feature_repo.stores."):
    importlib.import_module(module.name)
from feature_repo.stores.packed.matrix import MatrixReader

day = datetime(2026, 3, 1, tzinfo=timezone.utc)
pd.DataFrame({"user_id": [1, 2], "score": [0.5, 2.5], "event_timestamp": [day, day]}).to_parquet("scores.parquet")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
source = FileSource(path="scores.parquet", timestamp_field="event_timestamp")
scores = FeatureView(name="scores", entities=[user], schema=[Field(name="score", dtype=Float32)], source=source,
                     ttl=timedelta(days=3))
store = FeatureStore(".")
store.apply([user, scores, FeatureService(name="ranking", features=[scores])])
store.materialize(day - timedelta(days=1), day)
later = day + timedelta(hours=1)
matrix = MatrixReader.of_store(store, "ranking").read({}, np.array([2, 3, 1]), "user_id", later)
assert matrix.values[:, 0].tolist()[::2] == [2.5, 0.5] and np.isnan(matrix.values[1, 0]), matrix
rows = pd.DataFrame({"user_id": [2, 1], "event_timestamp": [later, day + timedelta(days=4)]})
joined = store.get_historical_features(rows, ["scores:score"]).to_df()
assert joined["score"].tolist()[0] == 2.5 and np.isnan(joined["score"][1]), joined
others = {m for m in sys.modules if m.startswith("feature_repo.") and not m.startswith("feature_repo.stores")}
assert not others, others
print("the stores stand alone")
"""


@pytest.mark.slow
def test_the_folder_alone_is_enough(tmp_path: Path) -> None:
    package = tmp_path / "feature_repo"
    shutil.copytree(PROJECT / "feature_repo" / "stores", package / "stores")
    (package / "__init__.py").touch()
    (tmp_path / "feature_store.yaml").write_text(SETTINGS)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "the stores stand alone"
