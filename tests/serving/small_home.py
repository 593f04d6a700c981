"""Builds the state folder that the service is tested on; run as a program, with RECOMMEND_HOME set.

A process of its own: feature views take their tables' path from the environment when they are imported.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from feast import FeatureStore, FeatureView

from feature_repo.catalog import feast_objects, feast_repo, recommender
from feature_repo.home import vault_path
from feature_repo.identity import Vault
from feature_repo.recommender import Recommender
from tests.hand_made import WORKSPACE, write_snapshot
from training.bundle import Card, save
from training.champion import promote
from training.rankers.heuristic import HeuristicRanker

SNAPSHOT = datetime(2025, 8, 1, tzinfo=UTC)
USERS = ("U1", "U2", "ada.lovelace@example.org", "U4", "U0646")  # the last is who asks in the README
CHANNELS = tuple(f"C{n}" for n in range(1, 251))


def main() -> None:
    """Vault, offline tables, registry, online store, and two bundles, the older of them promoted."""
    declared = recommender("channel_browser")
    with Vault(vault_path()) as vault:
        workspace = vault.workspace("acme", create=True)
        assert workspace == WORKSPACE
        users = vault.intern(workspace, "user", USERS)
        channels = vault.intern(workspace, "channel", CHANNELS)
    write_tables(declared, users.tolist(), channels.tolist())
    views = [declared.candidates, declared.popular, *(declared.features)]
    store = FeatureStore(repo_path=str(feast_repo()))
    store.apply(list(feast_objects().values()))
    store.materialize(SNAPSHOT - timedelta(days=1), SNAPSHOT, [v.name for v in views])
    first = save_bundle(declared, declared.heuristic)
    save_bundle(declared, {name: -weight for name, weight in declared.heuristic.items()})
    promote(declared.name, first.version)


def write_tables(declared: Recommender, users: list[int], channels: list[int]) -> None:
    """Random numbers for most pairs; U4 has no candidates, and C1…C20 no activity."""
    draws = np.random.default_rng(11)
    affinity, activity, persons = declared.features
    pairs = [(u, c) for u in users[:3] for c in channels[::2]]
    write(affinity, {"user_id": [u for u, _ in pairs], "channel_id": [c for _, c in pairs]}, draws)
    write(activity, {"channel_id": channels[20:]}, draws)
    write(persons, {"user_id": users[:2]}, draws)
    lists = {
        "by_comembership": [draws.permutation(channels)[:120].tolist() for _ in users[:3]],
        "by_neighbours": [draws.permutation(channels)[:110].tolist() for _ in users[:3]],
        "by_popularity": [channels[:130] for _ in users[:3]],
    }
    write_snapshot(declared.candidates.name, SNAPSHOT, {"user_id": users[:3]} | lists)
    write_snapshot(declared.popular.name, SNAPSHOT, {"channels": [channels[::-1]]})
    reader = users[-1]
    write(affinity, {"user_id": [reader] * 250, "channel_id": channels}, draws)
    of_reader = {name: [draws.permutation(channels)[:100].tolist()] for name in lists}
    write_snapshot(declared.candidates.name, SNAPSHOT, {"user_id": [reader]} | of_reader)


def write(view: FeatureView, keys: Mapping[str, list[int]], draws: np.random.Generator) -> None:
    """An offline table of numbers."""
    rows = len(next(iter(keys.values())))
    numbers = {f.name: draws.exponential(5, rows).astype(np.float32) for f in view.features}
    write_snapshot(view.name, SNAPSHOT, {**keys, **numbers})


def save_bundle(declared: Recommender, weights: Mapping[str, float]) -> Card:
    """A bundle with a hand-made ranker."""
    card = Card(
        recommender=declared.name,
        ranker="heuristic",
        feature_service=declared.name,
        feature_service_hash=declared.definition_hash,
        feature_names=declared.feature_names,
        trained_from=SNAPSHOT,
        trained_to=SNAPSHOT,
        as_of=SNAPSHOT,
        workspaces=(1,),
    )
    ranker = HeuristicRanker(weights, declared.feature_names)
    return save(card, ranker, pa.table({n: pa.array([], pa.float32()) for n in declared.feature_names}))


if __name__ == "__main__":
    main()
