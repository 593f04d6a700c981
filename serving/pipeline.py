"""One answer, as a list of small stages:

admit → retrieve → exclude → hydrate → filter → score → boost → diversify → name → explore → log.

A stage takes a `Draft` and answers one that knows more. Where nothing is known of who asks, or a part
behind is down, the stages of the popularity rung stand in for those that rank.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from feature_repo.identity import Vault
from serving import impressions
from serving.adjustment import boost, diversify, explore, filter_by
from serving.draft import NOBODY, Draft
from serving.event_log import EventLog
from serving.faults import Faults
from serving.metrics import STAGE_SECONDS
from serving.popularity import PopularLists, keep_order, popularity
from serving.ranking import hydrate, hydrate_if_asked, score
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


Watch = Callable[[str, Draft, Draft], None]


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
            Stage("filter", filter_by),
            Stage("score", score),
            Stage("boost", boost),
            Stage("diversify", diversify),
        )
        self._fall_back = (
            Stage("popularity", partial(popularity, popular)),
            Stage("exclude", exclude),
            Stage("hydrate", partial(hydrate_if_asked, store)),
            Stage("filter", filter_by),
            Stage("score", keep_order),
            Stage("boost", boost),
            Stage("diversify", diversify),
        )
        self._show = (
            Stage("name", partial(impressions.name, vault)),
            Stage("explore", explore),
            Stage("log", partial(impressions.log, log)),
        )

    def run(self, draft: Draft, watch: Watch = lambda stage, before, after: None) -> Draft:
        """The finished draft: its candidates are the items to show. Never raises for what is down behind.

        ``watch`` is told of each stage, with the draft before and after it.
        """
        ranked = self._ranked(draft, watch)
        with self._faults.watch("naming the items"):
            return _through(self._show, ranked, watch)
        return replace(ranked, candidates=NOBODY, degraded=True).warn("naming-failed")

    def _ranked(self, draft: Draft, watch: Watch) -> Draft:
        part = f"ranking of {draft.recommender.name}"
        try:
            ranked = _through(self._rank, draft, watch)
        except NothingKnown:
            return _through(self._fall_back, draft.warn("nothing-known"), watch)
        except Exception as error:
            self._faults.report(part, error)
            return _through(self._fall_back, replace(draft, degraded=True).warn("ranking-failed"), watch)
        self._faults.working(part)
        return ranked


def _through(stages: Sequence[Stage], draft: Draft, watch: Watch) -> Draft:
    for stage in stages:
        before, begun = draft, time.perf_counter()
        draft = stage.run(before)
        seconds = time.perf_counter() - begun
        draft.timings[stage.name] = draft.timings.get(stage.name, 0.0) + seconds
        _SECONDS[stage.name].observe(seconds)
        watch(stage.name, before, draft)
    return draft


class _Seconds(dict[str, Any]):
    """The histogram of each stage, looked up once."""

    def __missing__(self, name: str) -> Any:
        self[name] = STAGE_SECONDS.labels(name)
        return self[name]


_SECONDS = _Seconds()
