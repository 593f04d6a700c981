"""Stages *name* and *log*: the items to be shown, under the caller's ids, and as impressions for the log."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa

from feature_repo.events import IMPRESSIONS
from feature_repo.identity import Vault
from serving.draft import Draft
from serving.event_log import EventLog, Layout, float_lists
from serving.identity import first_named

_LAYOUT = Layout(IMPRESSIONS)


def name(vault: Vault, draft: Draft) -> Draft:
    """Keep the first candidates that the caller has an id for, as many as may be shown, and learn it."""
    named = first_named(
        vault, draft.workspace_id, draft.recommender.candidate_kind, draft.candidates.ids, draft.considered
    )
    positions = np.array([position for position, _ in named], np.intp)
    return replace(draft.take(positions), names=tuple(raw for _, raw in named))


def log(event_log: EventLog, draft: Draft) -> Draft:
    """Offer the shown items to the log; whether they can be written is the log's to report."""
    if draft.names and not draft.wish.dry_run:
        event_log.append(IMPRESSIONS, impressions(draft))
    return draft


def impressions(draft: Draft) -> pa.RecordBatch:
    """One row of ``IMPRESSIONS`` for each shown item."""
    shown = len(draft.names)
    answer = {
        "workspace_id": draft.workspace_id,
        "event_timestamp": draft.instant,
        "request_id": draft.request_id,
        "recommender": draft.recommender.name,
        "model_version": draft.model_version,
        "rung": draft.rung,
        "variant": f"{draft.experiment}/{draft.variant.name}" if draft.experiment else draft.variant.name,
        "feature_service_hash": draft.recommender.definition_hash,
        "query_id": draft.query_id,
        "context": json.dumps(dict(draft.context), sort_keys=True) if draft.context else None,
        "degraded": draft.degraded,
    }
    items = {
        "candidate_id": draft.candidates.ids,
        "position": np.arange(1, shown + 1, dtype=np.int16),
        "score": draft.scores,
        "propensity": draft.propensities,
        "sources": pa.array(draft.candidates.sources, pa.list_(pa.string())),
        "features": float_lists(draft.features),
    }
    return _LAYOUT.batch(shown, answer, items)
