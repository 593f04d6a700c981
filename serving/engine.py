"""The service without its HTTP: everything it holds open, and its three answers."""

import logging
from dataclasses import replace

from feature_repo.catalog import recommenders
from feature_repo.clock import default_as_of
from feature_repo.experiment import CHAMPION
from feature_repo.home import log_path, vault_path
from feature_repo.identity import UNKNOWN, Vault
from serving import request_id
from serving.admission import admit, declared
from serving.authentication import Caller
from serving.champions import Champions
from serving.contract import (
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
    Item,
    OutcomesRequest,
    OutcomesResponse,
    RecommenderDescription,
    RecommendersResponse,
    RecommendRequest,
    RecommendResponse,
)
from serving.draft import Draft
from serving.event_log import EventLog
from serving.explanation import reasons, sentence
from serving.faults import Faults
from serving.health import health
from serving.identity import interned
from serving.metrics import REQUESTS, STAGE_SECONDS
from serving.outcomes import Outcomes, Recording
from serving.pipeline import Pipeline
from serving.popularity import POPULARITY, PopularLists
from serving.problems import Problem
from serving.store import OnlineFeatures
from serving.trace import Trace, unknown

logger = logging.getLogger("bentoml.recommend")


class Engine:
    """Answers requests, one at a time: its vault and store connections belong to one thread at a time."""

    def __init__(self) -> None:
        """Open everything under the state folder, say what is missing, and read what is needed first.

        Raises:
            RecommendError: a declaration cannot be served.
        """
        self._recommenders = recommenders()
        self._faults = Faults()
        self._vault = Vault(vault_path())
        self._champions = Champions(self._recommenders)
        self._log = EventLog(log_path(), self._faults)
        store = OnlineFeatures()
        popular = PopularLists(store, self._faults)
        self._pipeline = Pipeline(self._vault, store, popular, self._log, self._faults)
        self._outcomes = Outcomes(self._recommenders, self._vault, self._log)
        self._warm_up(popular)
        self._champions.start()

    def close(self) -> None:
        """Write what is queued for the log, and close."""
        self._champions.close()
        self._log.close()
        self._vault.close()

    def recommend(self, request: RecommendRequest, caller: Caller) -> RecommendResponse:
        """Answer a request.

        Raises:
            Problem: the caller must change the request.
        """
        answer = self._answer(request, caller)
        REQUESTS.labels(answer.recommender, answer.rung, str(answer.degraded).lower()).inc()
        return answer

    def explain(self, request: ExplainRequest, caller: Caller) -> ExplainResponse:
        """Say what becomes of one candidate. Nothing is logged.

        Raises:
            Problem: the caller must change the request.
            Exception: the identity vault is down.
        """
        draft = admit(self._recommenders, self._champions, self._vault, request, caller)
        kind = draft.recommender.candidate_kind
        candidate = interned(self._vault, draft.workspace_id, kind, request.candidate)
        trace = Trace()
        shown = self._pipeline.run(replace(draft, wish=replace(draft.wish, dry_run=True)), trace)
        if candidate == UNKNOWN:
            return unknown(request.candidate, shown)
        return trace.explanation(candidate, shown)

    async def logged(self) -> None:
        """Wait, within the log's budget, until the answers so far are in the log. See `EventLog.settled`."""
        await self._log.settled()

    def record(self, request: OutcomesRequest, caller: Caller) -> Recording:
        """Log outcomes. See `Outcomes.record`."""
        return self._outcomes.record(request, caller)

    async def acknowledge(self, recording: Recording) -> OutcomesResponse:
        """What became of the outcomes, once it is on the disk."""
        return await recording.response(self._log)

    def health(self) -> HealthResponse:
        """How this worker is."""
        return health(self._faults, self._log)

    def describe(self) -> RecommendersResponse:
        """The declared recommenders and what serves each."""
        serving = {name: self._champions.current(name) for name in self._recommenders}
        return RecommendersResponse(
            recommenders=[
                RecommenderDescription(
                    name=name,
                    description=r.description,
                    query_key=r.query_key,
                    candidate_key=r.candidate_key,
                    outcome=r.outcome.name,
                    context=list(r.context),
                    sources=[source.column for source in r.sources],
                    model_version=serving[name].model_version,
                    rung=serving[name].rung,
                    since=serving[name].since,
                )
                for name, r in self._recommenders.items()
            ]
        )

    def _answer(self, request: RecommendRequest, caller: Caller) -> RecommendResponse:
        try:
            with STAGE_SECONDS.labels("admit").time():
                draft = admit(self._recommenders, self._champions, self._vault, request, caller)
        except Problem:
            raise
        except Exception as error:
            # Without the vault no id can be read or named: an empty answer is all that is left.
            self._faults.report("the identity vault", error)
            name = declared(self._recommenders, request).name
            return _empty(name, self._champions.current(name).model_version)
        self._faults.working("the identity vault")
        return _response(self._pipeline.run(draft), request.explain)

    def _warm_up(self, popular: PopularLists) -> None:
        workspaces = self._vault.workspaces()
        if not workspaces:
            logger.warning(
                "no workspace has been ingested, so every request will be refused: "
                "run `recommend ingest PATH --workspace NAME`"
            )
        for recommender in self._recommenders.values():
            _ = recommender.query_kind, recommender.candidate_kind
            for workspace in workspaces.values():
                popular.read(recommender, workspace, default_as_of())


def _response(draft: Draft, explain: bool) -> RecommendResponse:
    found = reasons(draft) if explain else [[] for _ in draft.names]
    return RecommendResponse(
        request_id=request_id.text(draft.request_id, draft.instant),
        recommender=draft.recommender.name,
        model_version=draft.model_version,
        rung=draft.rung,
        experiment=draft.experiment,
        variant=draft.variant.name,
        degraded=draft.degraded,
        warnings=list(draft.warnings),
        timings_ms={stage: round(seconds * 1000, 3) for stage, seconds in draft.timings.items()},
        items=[
            Item(
                id=raw,
                rank=n + 1,
                score=float(draft.scores[n]),
                propensity=float(draft.propensities[n]),
                sources=sources,
                reasons=found[n],
                why=sentence(sources, found[n]) if explain else None,
            )
            for n, (raw, sources) in enumerate(zip(draft.names, draft.candidates.sources, strict=True))
        ],
    )


def _empty(recommender: str, model_version: str) -> RecommendResponse:
    return RecommendResponse(
        request_id=request_id.text(request_id.new(recommender), default_as_of()),
        recommender=recommender,
        model_version=model_version,
        rung=POPULARITY,
        experiment=None,
        variant=CHAMPION,
        degraded=True,
        warnings=["ranking-failed"],
        timings_ms={},
        items=[],
    )
