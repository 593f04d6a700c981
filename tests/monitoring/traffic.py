"""Traffic for the monitoring tests: candidates are drawn, ranked by a real ranker, shown and clicked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_repo.events import IMPRESSIONS, OUTCOMES, EventTable
from feature_repo.home import log_path
from feature_repo.recommender import Recommender
from training import bundle
from training.rankers.heuristic import HeuristicRanker

START = datetime(2025, 8, 1, 9, tzinfo=UTC)
CANDIDATES = 25
SHOWN = 10


@dataclass(frozen=True)
class Traffic:
    """Requests of one model version, five an hour from `START`.

    Args:
        recommender: Its declaration: features, heuristic and outcome come from it.
        model_version: As logged.
        rung: As logged; popularity answers are logged without features.
        requests: How many.
        seed: Other requests, other clicks.
        grown: Factor by feature name: a planted drift.
        lost: Names of features that are missing in every row.
    """

    recommender: Recommender
    model_version: str
    rung: str = "heuristic"
    requests: int = 150
    seed: int = 0
    grown: Mapping[str, float] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()

    def candidates(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Features ``[requests, candidates, features]``, scores and positions ``[requests, candidates]``."""
        rng = np.random.default_rng(self.seed)
        names = self.recommender.feature_names
        features = rng.lognormal(0.0, 1.2, (self.requests, CANDIDATES, len(names))).astype(np.float32)
        features[rng.random(features.shape) < 0.05] = np.nan
        for name, factor in self.grown.items():
            features[..., names.index(name)] *= factor
        for name in self.lost:
            features[..., names.index(name)] = np.nan
        ranker = HeuristicRanker(self.recommender.heuristic, names)
        scores = ranker.score(features.reshape(-1, len(names))).reshape(self.requests, CANDIDATES)
        positions = (-scores).argsort(axis=1).argsort(axis=1) + 1
        return features, scores, positions

    def log(self) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """Rows of the impressions and of the outcomes that they led to."""
        features, scores, positions = self.candidates()
        rng = np.random.default_rng(self.seed + 1)
        impressions: list[dict[str, object]] = []
        outcomes: list[dict[str, object]] = []
        for request in range(self.requests):
            at = START + timedelta(minutes=12 * request)
            for candidate in positions[request].argsort()[:SHOWN]:
                position = int(positions[request, candidate])
                row = impression(
                    self.recommender.name,
                    model_version=self.model_version,
                    rung=self.rung,
                    request_id=self.seed * 1_000_000 + request,
                    event_timestamp=at,
                    candidate_id=int(candidate),
                    position=position,
                    score=float(scores[request, candidate]),
                    features=[] if self.rung == "popularity" else features[request, candidate].tolist(),
                )
                impressions.append(row)
                if rng.random() < 0.3 / position:
                    outcomes.append(outcome(row, self.recommender.outcome.name, timedelta(hours=2)))
        return impressions, outcomes

    def reference(self) -> pa.Table:
        """All candidates, as training keeps them beside a bundle."""
        features, scores, positions = self.candidates()
        columns: dict[str, NDArray[np.generic]] = {
            name: features[..., n].ravel() for n, name in enumerate(self.recommender.feature_names)
        }
        columns |= {
            "score": scores.ravel(),
            "label": (positions == 1).astype(np.int8).ravel(),
            "position": positions.astype(np.int16).ravel(),
        }
        return pa.table(columns)


def impression(recommender: str, **values: object) -> dict[str, object]:
    """A row of the impressions, with defaults for what a test does not care about."""
    defaults: dict[str, object] = {
        "workspace_id": 1,
        "event_timestamp": START,
        "request_id": 1,
        "recommender": recommender,
        "model_version": "v1",
        "rung": "heuristic",
        "variant": "champion",
        "feature_service_hash": "0",
        "declaration_hash": "0",
        "software": "0.1.0",
        "query_id": 5,
        "candidate_id": 1,
        "position": 1,
        "score": 0.0,
        "propensity": 1.0,
        "sources": [],
        "features": [],
        "context": None,
        "degraded": False,
    }
    return defaults | values


def outcome(shown: Mapping[str, object], kind: str, after: timedelta, **values: object) -> dict[str, object]:
    """A row of the outcomes on a shown item."""
    at = shown["event_timestamp"]
    assert isinstance(at, datetime)
    defaults = {
        "workspace_id": shown["workspace_id"],
        "event_timestamp": at + after,
        "event_id": hash((shown["request_id"], shown["candidate_id"])),
        "request_id": shown["request_id"],
        "recommender": shown["recommender"],
        "candidate_id": shown["candidate_id"],
        "outcome": kind,
    }
    return defaults | values


def write_events(table: EventTable, rows: list[dict[str, object]], name: str = "part") -> list[Path]:
    """Append rows to the log, one file a day; answers the files."""
    days: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        at = row["event_timestamp"]
        assert isinstance(at, datetime)
        days.setdefault(str(at.date()), []).append(row)
    files = []
    for day, chunk in sorted(days.items()):
        path = log_path() / table.name / f"day={day}" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(chunk, schema=table.schema), path)
        files.append(path)
    return files


def write_traffic(traffic: Traffic) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Log the traffic; answers the rows of impressions and outcomes."""
    impressions, outcomes = traffic.log()
    name = f"{traffic.model_version}-{traffic.seed}"
    write_events(IMPRESSIONS, impressions, name)
    write_events(OUTCOMES, outcomes, name)
    return impressions, outcomes


def save_bundle(recommender: Recommender, reference: pa.Table) -> bundle.Card:
    """A heuristic bundle in the model store."""
    card = bundle.Card(
        recommender=recommender.name,
        ranker="heuristic",
        feature_service=recommender.name,
        feature_service_hash=recommender.definition_hash,
        feature_names=recommender.feature_names,
        trained_from=START - timedelta(days=60),
        trained_to=START - timedelta(days=30),
        as_of=START,
        workspaces=(1,),
    )
    return bundle.save(card, HeuristicRanker(recommender.heuristic, recommender.feature_names), reference)
