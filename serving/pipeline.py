"""One answer, as a list of small stages:

admit → retrieve → exclude → hydrate → filter → score → discount → boost → order → diversify → name → explore →
explain → log.

A stage takes a `Draft` and answers one that knows more. Where a part behind fails, or does not answer in time, other
lists of stages stand in for those that read and rank: first the heuristic on the rows that were read last, then the
popular list.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from serving import impressions
from serving.adjustment import boost, discount, diversify, explore, filter_by, order
from serving.draft import NOBODY, Draft
from serving.event_log import EventLog
from serving.explanation import explain
from serving.faults import Faults
from serving.metrics import STAGE_SECONDS, Children
from serving.names import Names
from serving.popularity import PopularLists, keep_order, popularity
from serving.ranking import hydrate, hydrate_if_asked, score, score_by_the_last, unread
from serving.recall import LastRows, NothingRemembered
from serving.recent import RecentImpressions
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


Stages = Sequence[Stage]
Watch = Callable[[str, Draft, Draft], None]


def unwatched(stage: str, before: Draft, after: Draft) -> None:
    """The watch of an answer that nobody looks into."""


class Pipeline:
    """The stages with what they read and write. `run` is not for two threads at a time; `rescue`, `conclude`
    and `shadow`, which read no store, are for any."""

    def __init__(
        self,
        names: Names,
        store: OnlineFeatures,
        popular: PopularLists,
        recent: RecentImpressions,
        log: EventLog,
        faults: Faults,
    ) -> None:
        """Put the stages in order."""
        self._faults, self._names = faults, names
        self._rows = LastRows()
        sort = (Stage("boost", boost), Stage("order", order), Stage("diversify", diversify))
        adjust = (Stage("discount", partial(discount, recent)), *sort)
        self._read = (
            Stage("retrieve", partial(retrieve, store)),
            Stage("exclude", exclude),
            Stage("hydrate", partial(hydrate, store)),
        )
        by_model = Stage("score", partial(score, faults))
        self._rank = (Stage("filter", filter_by), by_model, *adjust)
        self._rank_again = (by_model, *adjust)
        self._remember = (
            Stage("recall", self._rows.recall),
            Stage("exclude", exclude),
            Stage("filter", filter_by),
            Stage("score", score_by_the_last),
            *adjust,
        )
        by_order = (Stage("score", keep_order), *sort)
        self._popular = (
            Stage("popularity", partial(popularity, popular.read)),
            Stage("exclude", exclude),
            Stage("hydrate", partial(hydrate_if_asked, store)),
            Stage("filter", filter_by),
            *by_order,
        )
        self._last_popular = (
            Stage("popularity", partial(popularity, popular.last)),
            Stage("exclude", exclude),
            Stage("hydrate", unread),
            *by_order,
        )
        self._log = (
            Stage("explore", explore),
            Stage("explain", partial(explain, faults)),
            Stage("log", partial(impressions.log, log)),
        )
        self._recent = recent
        self._log_shadow = partial(impressions.log_shadow, log)

    def run(self, draft: Draft, watch: Watch = unwatched) -> Draft:
        """The finished draft: its candidates are the items to show. Never raises for what is down behind.

        ``watch`` is told of each stage, with the draft before and after it.

        Raises:
            impressions.TooLate: another answer was given meanwhile.
        """
        return self._shown(self._ranked(draft, watch), self._names, watch)

    def rescue(self, draft: Draft, watch: Watch = unwatched) -> Draft:
        """The finished draft of what is in memory: waits for nothing and nobody. The claim is the caller's."""
        return self._shown(self._remembered(draft, watch), self._names.memory, watch)

    def conclude(self, shown: Draft) -> None:
        """What is left to do for a finished draft, once its answer is given: count what its stages took, and remember what
        was shown."""
        for stage, seconds in shown.timings.items():
            _SECONDS[stage].observe(seconds)
        impressions.remember(self._recent, shown)

    def shadow(self, shown: Draft) -> None:
        """Log what the experiment's shadows would have shown in place of a finished draft."""
        if shown.pool is None:
            return
        for variant, scorer in shown.shadows:
            with self._faults.watch(f"the shadow {variant} of {shown.recommender.name}"):
                asked = shown.pool.but(timings={}, lower=()).ranked_by(scorer)
                ranked = _through(self._rank_again, asked, unwatched)
                self._log_shadow(ranked.but(request_id=shown.request_id), variant)

    def _ranked(self, draft: Draft, watch: Watch) -> Draft:
        part = f"ranking of {draft.recommender.name}"
        try:
            read = _through(self._read, draft, watch)
        except NothingKnown:
            return _through(self._popular, draft.warn("nothing-known"), watch)
        except Exception as error:
            self._faults.report(part, error)
            return self._remembered(draft.degrade("store-failed"), watch)
        self._rows.keep(read)
        try:
            ranked = _through(self._rank, read, watch)
        except Exception as error:
            self._faults.report(part, error)
            return _through(self._popular, draft.degrade("ranking-failed"), watch)
        self._faults.working(part)
        return ranked

    def _remembered(self, draft: Draft, watch: Watch) -> Draft:
        part = f"ranking of {draft.recommender.name} from memory"
        try:
            remembered = _through(self._remember, draft, watch)
        except NothingRemembered:
            return _through(self._last_popular, draft, watch)
        except Exception as error:
            self._faults.report(part, error)
            return _through(self._last_popular, draft, watch)
        self._faults.working(part)
        return remembered

    def _shown(self, ranked: Draft, names: Any, watch: Watch) -> Draft:
        try:
            named = _through((Stage("name", partial(impressions.name, names)),), ranked, watch)
        except Exception as error:
            self._faults.report("naming the items", error)
            nobody = ranked.but(candidates=NOBODY, left=0).degrade("naming-failed")
            watch("name", ranked, nobody)
            return nobody
        self._faults.working("naming the items")
        return _through(self._log, named, watch)


def _through(stages: Stages, draft: Draft, watch: Watch) -> Draft:
    for stage in stages:
        before, begun = draft, time.perf_counter()
        draft = stage.run(before)
        draft.timings[stage.name] = draft.timings.get(stage.name, 0.0) + time.perf_counter() - begun
        watch(stage.name, before, draft)
    return draft


_SECONDS = Children(STAGE_SECONDS)
