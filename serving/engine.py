"""The service without its HTTP: everything it holds open, and its answers."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from feature_repo.catalog import recommenders
from feature_repo.clock import default_as_of
from feature_repo.home import log_path, vault_path
from feature_repo.identity import UNKNOWN, Vault
from serving import warm_up
from serving.admission import admit, find
from serving.authentication import LOCAL, Caller
from serving.champions import Champions
from serving.contract import (
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
    IdsRequest,
    IdsResponse,
    OutcomesRequest,
    OutcomesResponse,
    RecommendersResponse,
    RecommendRequest,
    RecommendResponse,
)
from serving.deadline import NEVER, Claim, Deadline
from serving.description import describe
from serving.draft import Draft
from serving.event_log import EventLog
from serving.faults import Faults
from serving.health import health
from serving.identity import interned, workspace_id
from serving.impressions import TooLate
from serving.metrics import REQUESTS, Children
from serving.names import Identities, Memory, Names
from serving.outcomes import Outcomes, Recording, unrecorded
from serving.pipeline import Pipeline
from serving.popularity import PopularLists
from serving.problems import Problem
from serving.recent import RecentImpressions
from serving.response import response
from serving.store import OnlineFeatures
from serving.trace import Trace, unknown

MAX_IDS = 20

_VAULT = "the identity vault"
_REQUESTS = Children(REQUESTS)


@dataclass(frozen=True)
class Answer:
    """An answer, and what is left to do once it is given.

    Args:
        response: What goes over HTTP.
        afterwards: Work for the ranking thread that nobody waits for.
        beside: Work for another thread; none where there is none.
    """

    response: RecommendResponse
    afterwards: Callable[[], None] = lambda: None
    beside: Callable[[], None] | None = None


class Engine:
    """Answers requests: `recommend` and `explain` on one thread, `record` and `ids` on another, as each has a connection
    to the vault; the rest, which waits for nothing, on any."""

    def __init__(self) -> None:
        """Open everything under the state folder, say what is missing, and read what is needed first.

        Raises:
            RecommendError: a declaration cannot be served.
        """
        self._recommenders = recommenders()
        self._faults = Faults()
        self._vault, self._outcome_vault = Vault(vault_path()), Vault(vault_path())
        self._names = Names(self._vault)
        self._champions = Champions(self._recommenders)
        self._admit = partial(admit, self._recommenders, self._champions)
        self._log = EventLog(log_path(), self._faults)
        store = OnlineFeatures()
        self._popular = PopularLists(store, self._names, self._faults)
        recent = RecentImpressions()
        self._pipeline = Pipeline(self._names, store, self._popular, recent, self._log, self._faults)
        self._outcomes = Outcomes(self._recommenders, self._outcome_vault, self._log)
        self._warm_up(recent)
        self._champions.start()

    def close(self) -> None:
        """Write what is queued for the log, and close."""
        self._champions.close()
        self._log.close()
        self._vault.close()
        self._outcome_vault.close()

    def deadline(self, request: RecommendRequest, since: float | None = None) -> Deadline:
        """Until when an answer is due that is asked for now, or was at an instant by ``time.monotonic``."""
        if request.deadline_ms is not None:
            return Deadline.within(request.deadline_ms / 1000, since)
        recommender = self._recommenders.get(request.recommender)
        return NEVER if recommender is None else Deadline.within(recommender.deadline.total_seconds(), since)

    def recommend(
        self, request: RecommendRequest, caller: Caller, deadline: Deadline, claim: Claim
    ) -> Answer:
        """Answer a request.

        Raises:
            Problem: the caller must change the request.
            TooLate: the claim was taken meanwhile.
        """
        try:
            draft = self._pipeline.run(self._admitted(request, caller, deadline, claim))
        except _VaultIsDown:
            if not claim.take():
                raise TooLate from None
            return self._from_memory(request, caller, deadline, "identities-failed")
        return Answer(
            self._counted(response(draft)),
            partial(self._afterwards, draft),
            partial(self._pipeline.shadow, draft) if draft.pool is not None else None,
        )

    def rescue(self, request: RecommendRequest, caller: Caller, deadline: Deadline) -> Answer:
        """The answer to a request whose deadline draws near, from memory. The claim has been taken.

        Raises:
            Problem: the caller must change the request.
        """
        return self._from_memory(request, caller, deadline, "deadline")

    def explain(self, request: ExplainRequest, caller: Caller, claim: Claim) -> ExplainResponse:
        """Say what becomes of one candidate. Nothing is logged.

        Raises:
            Problem: the caller must change the request.
            TooLate: the claim was taken meanwhile.
        """
        try:
            draft = self._admitted(request, caller, NEVER, claim)
            candidate = self._candidate(self._names, request, draft)
        except (_VaultIsDown, sqlite3.Error):
            if not claim.take():
                raise TooLate from None
            return self.rescued_explanation(request, caller)
        return self._explanation(request, draft, candidate, self._pipeline.run)

    def rescued_explanation(self, request: ExplainRequest, caller: Caller) -> ExplainResponse:
        """The same of the answer that would be given from memory now.

        Raises:
            Problem: the caller must change the request.
        """
        names = self._names.memory
        draft = self._admit(names, request, caller, NEVER, Claim()).degrade("deadline")
        return self._explanation(
            request, draft, self._candidate(names, request, draft), self._pipeline.rescue
        )

    async def logged(self, deadline: Deadline) -> None:
        """Wait, within the log's budget and the deadline, until the answers so far are in the log. See
        `EventLog.settled`."""
        await self._log.settled(deadline.patience)

    def record(self, request: OutcomesRequest, caller: Caller) -> Recording:
        """Log outcomes, on a thread of its own beside the one that ranks. See `Outcomes.record`; where the vault is down,
        nothing is logged, and the sender is told so."""
        try:
            return self._outcomes.record(request, caller)
        except sqlite3.Error as error:
            self._faults.report(_VAULT, error)
            return unrecorded(request)

    async def acknowledge(self, recording: Recording) -> OutcomesResponse:
        """What became of the outcomes, once it is on the disk."""
        return await recording.response(self._log)

    def health(self) -> HealthResponse:
        """How this worker is."""
        return health(self._faults, self._log)

    def describe(self) -> RecommendersResponse:
        """The declared recommenders and what serves each."""
        found = [describe(r, self._champions, default_as_of()) for r in self._recommenders.values()]
        return RecommendersResponse(recommenders=found)

    def ids(self, request: IdsRequest, caller: Caller) -> IdsResponse:
        """Ids that begin so; those that are remembered, where the vault is down. May be called where `record` may.

        Raises:
            Problem: the caller must change the request.
        """
        recommender = find(self._recommenders, request.recommender)
        kind = recommender.query_kind if request.kind == "query" else recommender.candidate_kind

        def known(names: Vault | Memory) -> list[str]:
            workspace = workspace_id(names, caller.workspace(request.workspace))
            return names.beginning_with(workspace, kind, request.prefix, MAX_IDS)

        try:
            return IdsResponse(ids=known(self._outcome_vault))
        except sqlite3.Error as error:
            self._faults.report(_VAULT, error)
            return IdsResponse(ids=known(self._names.memory))

    def _warm_up(self, recent: RecentImpressions) -> None:
        self._names.refresh()
        warm_up.say_what_is_missing(self._names)
        warm_up.read_popular(self._recommenders, self._names, self._popular)
        warm_up.score_nothing(self._recommenders.values(), self._champions)
        served = warm_up.served_lately(self._recommenders.values(), self._log)
        warm_up.remember_shown(self._recommenders, served, recent)
        for request in warm_up.requests(self._recommenders, self._names, served):
            with self._faults.watch("the warm-up"):
                self.recommend(request, LOCAL, self.deadline(request), Claim())
        warm_up.freeze()

    def _afterwards(self, shown: Draft) -> None:
        self._pipeline.conclude(shown)
        self._popular.refresh(shown.recommender, shown.workspace_id, default_as_of())

    def _admitted(self, request: RecommendRequest, caller: Caller, deadline: Deadline, claim: Claim) -> Draft:
        begun = time.perf_counter()
        try:
            self._names.refresh()
            draft = self._admit(self._names, request, caller, deadline, claim)
        except Problem:
            raise
        except Exception as error:
            self._faults.report(_VAULT, error)
            raise _VaultIsDown from None
        self._faults.working(_VAULT)
        draft.timings["admit"] = time.perf_counter() - begun
        return draft

    def _from_memory(self, request: RecommendRequest, caller: Caller, deadline: Deadline, why: str) -> Answer:
        admitted = self._admit(self._names.memory, request, caller, deadline, Claim())
        draft = self._pipeline.rescue(admitted.degrade(why))
        self._pipeline.conclude(draft)
        return Answer(self._counted(response(draft)))

    def _candidate(self, names: Identities, request: ExplainRequest, draft: Draft) -> int:
        return interned(names, draft.workspace_id, draft.recommender.candidate_kind, request.candidate)

    def _explanation(
        self,
        request: ExplainRequest,
        draft: Draft,
        candidate: int,
        run: Callable[[Draft, Trace], Draft],
    ) -> ExplainResponse:
        trace = Trace()
        shown = run(replace(draft, wish=replace(draft.wish, dry_run=True)), trace)
        if candidate == UNKNOWN:
            return unknown(request.candidate, shown)
        return trace.explanation(candidate, shown)

    def _counted(self, answer: RecommendResponse) -> RecommendResponse:
        _REQUESTS[answer.recommender, answer.rung, str(answer.degraded).lower()].inc()
        return answer


class _VaultIsDown(Exception):
    """No id can be read or named but those that are remembered."""
