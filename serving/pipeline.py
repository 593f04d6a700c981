"""One answer, as a list of small stages: admit → retrieve → exclude → hydrate → score → name → log.

A stage takes a `Draft` and answers one that knows more. Where nothing is known of who asks, or a part
behind is down, the stages of the popularity rung stand in for those that rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from feature_repo.identity import Vault
from serving import impressions
from serving.draft import NOBODY, Draft
from serving.event_log import EventLog
from serving.faults import Faults
from serving.metrics import STAGE_SECONDS
from serving.popularity import PopularLists, keep_order, popularity
from serving.ranking import hydrate, score
from serving.retrieval import NothingKnown, exclude, retrieve
from serving.store import OnlineFeatures


@dataclass(frozen=True)
class Stage:
    """One step of an answer.

    Args:
        name: In the metrics and the log.
        run: May raise; the pipeline answers all the same.
    """

    name: str
    run: Callable[[Draft], Draft]


class Pipeline:
    """The stages with what they read and write. Not for use by two threads at a time."""

    def __init__(
        self, vault: Vault, store: OnlineFeatures, popular: PopularLists, log: EventLog, faults: Faults
    ) -> None:
        """Put the stages in order."""
        self._faults = faults
        self._rank = (
            Stage("retrieve", partial(retrieve, store)),
            Stage("exclude", exclude),
            Stage("hydrate", partial(hydrate, store)),
            Stage("score", score),
        )
        self._fall_back = (
            Stage("popularity", partial(popularity, popular)),
            Stage("exclude", exclude),
            Stage("score", keep_order),
        )
        self._show = (
            Stage("name", partial(impressions.name, vault)),
            Stage("log", partial(impressions.log, log)),
        )

    def run(self, draft: Draft) -> Draft:
        """The finished draft: its candidates are the items to show. Never raises for what is down behind."""
        ranked = self._ranked(draft)
        with self._faults.watch("naming the items"):
            return _through(self._show, ranked)
        return replace(ranked, candidates=NOBODY, degraded=True)

    def _ranked(self, draft: Draft) -> Draft:
        part = f"ranking of {draft.recommender.name}"
        try:
            ranked = _through(self._rank, draft)
        except NothingKnown:
            return _through(self._fall_back, draft)
        except Exception as error:
            self._faults.report(part, error)
            return _through(self._fall_back, replace(draft, degraded=True))
        self._faults.working(part)
        return ranked


def _through(stages: Sequence[Stage], draft: Draft) -> Draft:
    for stage in stages:
        with STAGE_SECONDS.labels(stage.name).time():
            draft = stage.run(draft)
    return draft
