"""Outcomes: what the caller saw done with the items, checked and appended to the log."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Literal

from feature_repo.clock import default_as_of
from feature_repo.events import OUTCOMES, UNATTRIBUTED_OUTCOMES
from feature_repo.identity import UNKNOWN, Vault
from feature_repo.recommender import Recommender
from serving import request_id
from serving.authentication import Caller
from serving.contract import OutcomeEvent, OutcomesRequest, OutcomesResponse
from serving.event_ids import REMEMBERED, EventIds
from serving.event_log import EventLog, Layout
from serving.identity import workspace_id
from serving.metrics import OUTCOME_EVENTS
from serving.problems import FieldError, bad_fields, pointer

Verdict = Literal["accepted", "duplicates", "late", "unknown"]

_ATTRIBUTED, _UNATTRIBUTED = Layout(OUTCOMES), Layout(UNATTRIBUTED_OUTCOMES)
_REASONS: Mapping[Verdict, str] = {"late": "late", "unknown": "unknown_request"}
_LOST: "Future[bool]" = Future()
_LOST.set_result(False)
_ROUNDED = timedelta(seconds=1)
"""A request id has its instant in whole seconds."""


@dataclass(frozen=True)
class _Judged:
    """One event of a batch: the answer that it names, and the recommender that gave it, if any."""

    event: OutcomeEvent
    issued: request_id.Issued
    recommender: Recommender | None
    at: datetime

    @property
    def verdict(self) -> Verdict:
        """What it is, unless it is a repeat."""
        if self.recommender is None:
            return "unknown"
        in_time = self.at <= self.issued.at + self.recommender.outcome.window + _ROUNDED
        return "accepted" if in_time else "late"


@dataclass(frozen=True)
class Recording:
    """A batch on its way to the disk.

    Args:
        verdicts: For each event, what it is, and what becomes True once that is on the disk.
    """

    verdicts: Sequence[tuple[Verdict, "Future[bool]"]]

    async def response(self, log: EventLog) -> OutcomesResponse:
        """The answer, as soon as the disk has all of it; what it does not take is counted as dropped."""
        awaited = list({done for _, done in self.verdicts})
        safe = dict(zip(awaited, await asyncio.gather(*map(log.synced, awaited)), strict=True))
        counts = Counter(verdict if safe[done] else "dropped" for verdict, done in self.verdicts)
        response = OutcomesResponse(**{name: counts[name] for name in OutcomesResponse.model_fields})
        for result, count in response.model_dump().items():
            OUTCOME_EVENTS.labels(result).inc(count)
        return response


def unrecorded(request: OutcomesRequest) -> Recording:
    """What becomes of a batch that cannot be read: all of it is dropped."""
    return Recording([("accepted", _LOST)] * len(request.events))


class Outcomes:
    """Takes batches of outcomes. Not for use by two threads at a time."""

    def __init__(self, recommenders: Mapping[str, Recommender], vault: Vault, log: EventLog) -> None:
        """Remember the latest events of the log, so that a repeat is known after a restart.

        Events that another process on the same folder takes while this one runs are not known to it.

        Raises:
            RecommendError: two recommenders' request ids could not be told apart.
        """
        self._recommenders, self._vault, self._log = recommenders, vault, log
        self._issuers = request_id.Issuers(recommenders)
        tables = (UNATTRIBUTED_OUTCOMES, OUTCOMES)
        rows = (log.recent_rows(table, ["event_id"], REMEMBERED) for table in tables)
        self._ids = EventIds(chain(*(some["event_id"].to_pylist() for some in rows)))

    def record(self, request: OutcomesRequest, caller: Caller) -> Recording:
        """Append the batch to the log, whole or not at all.

        Raises:
            Problem: 400 where a request id is malformed, a candidate unknown, or the workspace not clear; 403
                where it is not the caller's.
        """
        workspace = workspace_id(self._vault, caller.workspace(request.workspace))
        judged = self._judge(request.events)
        candidates = self._candidates(workspace, judged)
        raw = [event.event_id for event in request.events]
        event_ids = self._vault.pseudonyms(workspace, "event", raw).tolist()
        done: dict[int, Future[bool]] = {}
        fresh: dict[int, int] = {}
        for n, event_id in enumerate(event_ids):
            known = self._ids.logging(event_id)
            if known is None:
                fresh.setdefault(event_id, n)
            else:
                done[event_id] = known
        rows = [_row(workspace, event_id, judged[n], candidates.get(n)) for event_id, n in fresh.items()]
        done |= self._append(_ATTRIBUTED, [row for row in rows if row["reason"] is None])
        done |= self._append(_UNATTRIBUTED, [row for row in rows if row["reason"] is not None])
        return Recording(
            [
                (judged[n].verdict if fresh.get(event_id) == n else "duplicates", done[event_id])
                for n, event_id in enumerate(event_ids)
            ]
        )

    def _append(self, layout: Layout, rows: Sequence[Mapping[str, Any]]) -> dict[int, "Future[bool]"]:
        """What becomes of each event of the rows."""
        if not rows:
            return {}
        columns = {name: [row[name] for row in rows] for name in layout.schema.names}
        done = self._log.append_synced(layout.table, layout.batch_of(columns))
        self._ids.add(columns["event_id"], done)
        return dict.fromkeys(columns["event_id"], done)

    def _judge(self, events: Sequence[OutcomeEvent]) -> list[_Judged]:
        """Every event with the recommender that its request id was issued by."""
        ids = [request_id.parse(event.request_id) for event in events]
        if malformed := [n for n, parsed in enumerate(ids) if parsed is None]:
            mend = "is not a request id: send back the 25 hexadecimal digits that /v1/recommend answered"
            raise _refused(malformed, "request_id", mend)
        now = default_as_of()
        issued = [i for i in ids if i is not None]
        issuers = [self._issuers.of(i.number) for i in issued]
        return [
            _Judged(event, i, None if name is None else self._recommenders[name], event.at or now)
            for event, i, name in zip(events, issued, issuers, strict=True)
        ]

    def _candidates(self, workspace: int, judged: Sequence[_Judged]) -> dict[int, int]:
        """Candidate id by the event's position, for those whose recommender is known."""
        by_kind: defaultdict[str, list[int]] = defaultdict(list)
        for n, j in enumerate(judged):
            if j.recommender is not None:
                by_kind[j.recommender.candidate_kind].append(n)
        found: dict[int, int] = {}
        for kind, positions in by_kind.items():
            ids = self._vault.lookup(workspace, kind, [judged[n].event.id for n in positions])
            found |= zip(positions, ids.tolist(), strict=True)
        if unknown := sorted(position for position, id_ in found.items() if id_ == UNKNOWN):
            raise _refused(unknown, "id", "is no candidate of this workspace: send an id that was answered")
        return found


def _row(workspace: int, event_id: int, judged: _Judged, candidate_id: int | None) -> dict[str, Any]:
    return {
        "workspace_id": workspace,
        "event_timestamp": judged.at,
        "event_id": event_id,
        "request_id": judged.issued.number,
        "recommender": judged.recommender.name if judged.recommender else None,
        "candidate_id": candidate_id,
        "outcome": judged.event.outcome,
        "reason": _REASONS.get(judged.verdict),
    }


def _refused(positions: Sequence[int], field: str, mend: str) -> Exception:
    errors = [FieldError(pointer=pointer(("events", n, field)), detail=mend) for n in positions]
    return bad_fields(400, "unknown-id", "An id was not given out here", errors)
