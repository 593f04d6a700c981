"""Builds the state folder that the benchmark of the service runs on. A program: RECOMMEND_HOME and RECOMMEND_DOMAIN set.

Writes the same rows to the packed store and to Feast's stock SQLite store, and stores a bundle of each ranker.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import xgboost
from feast import FeatureStore, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Int64List, Value

from feature_repo.catalog import feast_objects, feast_repo, recommenders
from feature_repo.home import feast_path, vault_path
from feature_repo.identity import Vault
from training.bundle import Card, save
from training.rankers import Ranker
from training.rankers.lightgbm import LightgbmRanker
from training.rankers.xgboost import XgboostRanker

USERS, ITEMS, TREES, FEATURES = 20, 500, 200, 30


def main() -> None:
    """Vault, registries, both online stores, and bundles of two rankers for each recommender."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with Vault(vault_path()) as vault:
        workspace = vault.workspace("bench", create=True)
        users = vault.intern(workspace, "user", [f"U{n}" for n in range(USERS)]).tolist()
        items = vault.intern(workspace, "item", [f"I{n}" for n in range(ITEMS)]).tolist()
    packed = FeatureStore(repo_path=str(feast_repo()))
    stock = FeatureStore(config=stock_config())
    rows = _rows(workspace, users, items)
    for store in (packed, stock):
        store.apply(list(feast_objects().values()))
        for view, of_view in rows.items():
            store._get_provider().online_write_batch(
                store.config, store.get_feature_view(view), of_view, None
            )
    rankers = _xgboost(), _lightgbm()
    for declared in recommenders().values():
        for ranker in rankers:
            card = Card(
                recommender=declared.name,
                ranker=ranker.name,
                feature_service=declared.name,
                feature_service_hash=declared.definition_hash,
                feature_names=declared.feature_names,
                trained_from=datetime.now(UTC),
                trained_to=datetime.now(UTC),
                as_of=datetime.now(UTC),
                workspaces=(workspace,),
            )
            save(card, ranker, pa.table({n: pa.array([], pa.float32()) for n in declared.feature_names}))
    (feast_path() / "ids.json").write_text(json.dumps({"users": users, "items": items}))


def stock_config() -> RepoConfig:
    """Feast's own store over the same views."""
    return RepoConfig(
        project="serving_benchmark",
        provider="local",
        registry=str(feast_path() / "stock-registry.db"),
        online_store={"type": "sqlite", "path": str(feast_path() / "stock.db")},
        repo_path=Path(feast_repo()),
        entity_key_serialization_version=3,
    )


def _rows(workspace: int, users: list[int], items: list[int]) -> dict[str, list]:
    draws, now = np.random.default_rng(3), datetime.now(UTC)

    def row(values: dict[str, Value], **ids: int) -> tuple:
        key = EntityKey(join_keys=list(ids), entity_values=[Value(int64_val=i) for i in ids.values()])
        return key, values, now, None

    def numbers() -> dict[str, Value]:
        return {f"f{n}": Value(float_val=x) for n, x in enumerate(draws.normal(size=10))}

    def ids(some: list[int]) -> Value:
        return Value(int64_list_val=Int64List(val=some))

    return {
        "user_view": [row(numbers(), user_id=u) for u in users],
        "item_view": [row(numbers(), item_id=i) for i in items],
        "pair_view": [row(numbers(), user_id=u, item_id=i) for u in users for i in items],
        "item_candidates": [
            row({"everything": ids(draws.permutation(items).tolist())}, user_id=u) for u in users
        ],
        "popular_items": [row({"items": ids(items[:100])}, workspace_id=workspace)],
    }


def _examples() -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(4)
    features = draws.normal(size=(20_000, FEATURES)).astype(np.float32)
    labels = (features @ draws.normal(size=FEATURES) + draws.normal(size=20_000) > 0).astype(np.int8)
    return features, labels


def _xgboost() -> Ranker:
    features, labels = _examples()
    parameters = {"objective": "binary:logistic", "max_depth": 5, "tree_method": "hist"}
    return XgboostRanker.of(xgboost.train(parameters, xgboost.DMatrix(features, labels), TREES))


def _lightgbm() -> Ranker:
    features, labels = _examples()
    parameters = {"objective": "binary", "num_leaves": 31, "verbosity": -1}
    return LightgbmRanker.of(lightgbm.train(parameters, lightgbm.Dataset(features, labels), TREES))


if __name__ == "__main__":
    main()
