"""Stages *name* and *log*: the items to be shown, under the caller's ids, and as impressions for the log."""

import json
from importlib.metadata import version

import numpy as np
import pyarrow as pa

from feature_repo.events import IMPRESSIONS, SHADOWS
from serving.draft import Draft
from serving.event_log import EventLog, Layout, float_lists
from serving.identity import first_named
from serving.names import Identities
from serving.recent import RecentImpressions
from serving.wish import document

_LAYOUT, _SHADOW_LAYOUT = Layout(IMPRESSIONS), Layout(SHADOWS)
_SOFTWARE = version("recommend")
_json = json.JSONEncoder(sort_keys=True).encode


class TooLate(Exception):
    """The deadline has passed, and another answer to the same request was given."""


def name(names: Identities, draft: Draft) -> Draft:
    """Keep the first candidates that the caller has an id for, as many as may be shown, and learn it."""
    named = first_named(
        names, draft.workspace_id, draft.recommender.candidate_kind, draft.candidates.ids, draft.considered
    )
    positions = np.array([position for position, _ in named], np.intp)
    return draft.take(positions).but(names=tuple(raw for _, raw in named))


def log(event_log: EventLog, draft: Draft) -> Draft:
    """Offer the shown items to the log; whether they can be written is the log's to report.

    Raises:
        TooLate: nothing is logged.
    """
    if not draft.claim.take():
        raise TooLate
    if draft.names and not draft.wish.dry_run:
        event_log.append(IMPRESSIONS, impressions(draft))
    return draft


def remember(recent: RecentImpressions, shown: Draft) -> None:
    """Know of a finished draft's items that they were shown."""
    declared = shown.recommender.discount
    if declared is not None and shown.names and not shown.wish.dry_run:
        ids = shown.candidates.ids.tolist()
        asked = shown.recommender.name, shown.query_id, shown.instant
        recent.add(*asked, ids, declared.half_life, shown.request_id)


def log_shadow(event_log: EventLog, draft: Draft, variant: str) -> None:
    """Offer what a shadow would have shown to the log."""
    best = draft.take(np.arange(min(draft.limit, len(draft.candidates.ids))))
    if len(best.candidates.ids) and not draft.wish.dry_run:
        answer = {**_answer(best), "variant": f"{draft.experiment}/{variant}"}
        event_log.append(SHADOWS, _SHADOW_LAYOUT.batch(len(best.candidates.ids), answer, _items(best)))


def impressions(draft: Draft) -> pa.RecordBatch:
    """One row of ``IMPRESSIONS`` for each shown item."""
    answer = {
        **_answer(draft),
        "feature_service_hash": draft.recommender.definition_hash,
        "declaration_hash": draft.recommender.declaration_hash,
        "software": _SOFTWARE,
        "context": _json(dict(draft.context)) if draft.context else None,
        "request": _request(draft),
        "degraded": draft.degraded,
    }
    items = {
        **_items(draft),
        "propensity": draft.propensities,
        "sources": pa.array(draft.candidates.sources, pa.list_(pa.string())),
        "features": float_lists(draft.features),
    }
    return _LAYOUT.batch(len(draft.names), answer, items)


def _answer(draft: Draft) -> dict[str, object]:
    return {
        "workspace_id": draft.workspace_id,
        "event_timestamp": draft.instant,
        "request_id": draft.request_id,
        "recommender": draft.recommender.name,
        "model_version": draft.model_version,
        "rung": draft.rung,
        "variant": f"{draft.experiment}/{draft.variant.name}" if draft.experiment else draft.variant.name,
        "query_id": draft.query_id,
    }


def _items(draft: Draft) -> dict[str, object]:
    first = len(draft.shown) + 1
    return {
        "candidate_id": draft.candidates.ids,
        "position": np.arange(first, first + len(draft.candidates.ids), dtype=np.int16),
        "score": draft.scores,
    }


def _request(draft: Draft) -> str:
    """What else shaped the answer, as JSON with our ids; of what the request did not ask there is nothing."""
    asked = document(draft.wish) | {
        "limit": draft.limit,
        "excluded": sorted(draft.excluded),
        "shown": list(draft.shown),
        "warnings": list(draft.warnings),
    }
    return _json({name: value for name, value in asked.items() if value})
