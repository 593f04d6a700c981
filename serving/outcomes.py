"""Outcomes: what the caller saw done with the items, checked and appended to the log."""

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feature_repo.clock import default_as_of
from feature_repo.events import OUTCOMES
from feature_repo.identity import UNKNOWN, Vault
from feature_repo.recommender import Recommender
from serving import request_id
from serving.contract import OutcomeEvent, OutcomesRequest, OutcomesResponse
from serving.event_log import EventLog, Row
from serving.identity import workspace_id
from serving.metrics import OUTCOME_EVENTS
from serving.problems import FieldError, bad_fields, pointer

REMEMBERED = 100_000
"""Event ids by which repeats are counted. The log's readers drop every repeat, remembered or not."""


@dataclass(frozen=True)
class _Attributed:
    position: int
    event: OutcomeEvent
    request: int
    recommender: Recommender


class Outcomes:
    """Takes batches of outcomes. Not for use by two threads at a time."""

    def __init__(self, recommenders: Mapping[str, Recommender], vault: Vault, log: EventLog) -> None:
        """Nothing is remembered yet.

        Raises:
            RecommendError: two recommenders' request ids could not be told apart.
        """
        self._recommenders, self._vault, self._log = recommenders, vault, log
        self._issuers = request_id.Issuers(recommenders)
        self._recent: OrderedDict[int, None] = OrderedDict()

    def record(self, request: OutcomesRequest) -> OutcomesResponse:
        """Log the batch, whole or not at all.

        Raises:
            Problem: 400 where a request id is malformed, a candidate unknown, or the workspace not clear.
        """
        workspace = workspace_id(self._vault, request.workspace)
        attributed = self._attribute(request.events)
        candidates = self._candidates(workspace, attributed)
        event_ids = self._vault.pseudonyms(workspace, "event", [a.event.event_id for a in attributed])
        fresh: dict[int, Row] = {}
        for a, event_id in zip(attributed, event_ids.tolist(), strict=True):
            if event_id in self._recent or event_id in fresh:
                continue
            fresh[event_id] = {
                "workspace_id": workspace,
                "event_timestamp": a.event.at or default_as_of(),
                "event_id": event_id,
                "request_id": a.request,
                "recommender": a.recommender.name,
                "candidate_id": candidates[a.position],
                "outcome": a.event.outcome,
            }
        logged = not fresh or self._log.offer(OUTCOMES, list(fresh.values()))
        if logged:
            self._remember(fresh)
        return _counted(
            OutcomesResponse(
                accepted=len(fresh) if logged else 0,
                dropped=0 if logged else len(fresh),
                duplicates=len(attributed) - len(fresh),
                unknown=len(request.events) - len(attributed),
            )
        )

    def _attribute(self, events: Sequence[OutcomeEvent]) -> list[_Attributed]:
        """The events whose request id was issued by a recommender of ours."""
        ids = [request_id.parse(event.request_id) for event in events]
        if malformed := [n for n, parsed in enumerate(ids) if parsed is None]:
            mend = "is not a request id: send back the 16 hexadecimal digits that /v1/recommend answered"
            raise _refused(malformed, "request_id", mend)
        attributed = []
        for position, (event, parsed) in enumerate(zip(events, ids, strict=True)):
            issuer = None if parsed is None else self._issuers.of(parsed)
            if parsed is not None and issuer is not None:
                attributed.append(_Attributed(position, event, parsed, self._recommenders[issuer]))
        return attributed

    def _candidates(self, workspace: int, attributed: Sequence[_Attributed]) -> dict[int, int]:
        """Candidate id by the event's position."""
        by_kind: defaultdict[str, list[_Attributed]] = defaultdict(list)
        for a in attributed:
            by_kind[a.recommender.candidate_kind].append(a)
        found: dict[int, int] = {}
        for kind, group in by_kind.items():
            ids = self._vault.lookup(workspace, kind, [a.event.id for a in group])
            found |= {a.position: id_ for a, id_ in zip(group, ids.tolist(), strict=True)}
        if unknown := sorted(position for position, id_ in found.items() if id_ == UNKNOWN):
            raise _refused(unknown, "id", "is no candidate of this workspace: send an id that was answered")
        return found

    def _remember(self, event_ids: Mapping[int, Row]) -> None:
        self._recent.update(dict.fromkeys(event_ids))
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)


def _refused(positions: Sequence[int], field: str, mend: str) -> Exception:
    errors = [FieldError(pointer=pointer(("events", n, field)), detail=mend) for n in positions]
    return bad_fields(400, "unknown-id", "An id was not given out here", errors)


def _counted(response: OutcomesResponse) -> OutcomesResponse:
    for result, count in response.model_dump().items():
        OUTCOME_EVENTS.labels(result).inc(count)
    return response
