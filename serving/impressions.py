"""Stages *name* and *log*: the items to be shown, under the caller's ids, and as impressions for the log."""

import json
from dataclasses import replace

import numpy as np

from feature_repo.events import IMPRESSIONS
from feature_repo.identity import Vault
from serving.draft import Draft
from serving.event_log import EventLog, Row
from serving.identity import first_named

CHAMPION = "champion"
"""The variant outside an experiment."""


def name(vault: Vault, draft: Draft) -> Draft:
    """Keep the first ``limit`` candidates that the caller has an id for, and learn it."""
    named = first_named(
        vault, draft.workspace_id, draft.recommender.candidate_kind, draft.candidates.ids, draft.limit
    )
    positions = np.array([position for position, _ in named], np.intp)
    return replace(draft.take(positions), names=tuple(raw for _, raw in named))


def log(event_log: EventLog, draft: Draft) -> Draft:
    """Offer the shown items to the log; whether they can be written is the log's to report."""
    if draft.names:
        event_log.offer(IMPRESSIONS, impressions(draft))
    return draft


def impressions(draft: Draft) -> list[Row]:
    """One row of ``IMPRESSIONS`` for each shown item."""
    answer = {
        "workspace_id": draft.workspace_id,
        "event_timestamp": draft.instant,
        "request_id": draft.request_id,
        "recommender": draft.recommender.name,
        "model_version": draft.model_version,
        "rung": draft.rung,
        "variant": CHAMPION,
        "feature_service_hash": draft.recommender.definition_hash,
        "query_id": draft.query_id,
        "context": json.dumps(dict(draft.context), sort_keys=True) if draft.context else None,
        "degraded": draft.degraded,
        "propensity": 1.0,  # the policy is deterministic: what is shown was shown for certain
    }
    return [
        answer
        | {
            "candidate_id": int(draft.candidates.ids[n]),
            "position": n + 1,
            "score": float(draft.scores[n]),
            "sources": list(draft.candidates.sources[n]),
            "features": draft.features[n],
        }
        for n in range(len(draft.names))
    ]
