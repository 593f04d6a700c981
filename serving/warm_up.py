"""What is done before the service says that it is ready, so that its first answers are as fast as its later ones."""

import gc
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.clock import default_as_of
from feature_repo.events import IMPRESSIONS
from feature_repo.recommender import Recommender
from serving.champions import Champions
from serving.contract import RecommendRequest
from serving.event_log import EventLog
from serving.names import Names
from serving.popularity import PopularLists
from serving.recent import RecentImpressions

REMEMBERED, LOOKED_AT = 100_000, 2_000
"""Impressions of the log that are read where a discount is declared, and where they only say who asked."""
REPLAYED = 20
"""Requests of the log that are asked once more, for each recommender."""
_ROWS = 100

logger = logging.getLogger("bentoml.recommend")


def say_what_is_missing(names: Names) -> None:
    """A warning where there is nobody to answer for."""
    if not names.workspaces():
        logger.warning(
            "no workspace has been ingested, so every request will be refused: "
            "run `recommend ingest PATH --workspace NAME`"
        )


def read_popular(recommenders: Mapping[str, Recommender], names: Names, popular: PopularLists) -> None:
    """Have the last rung of every ladder in memory."""
    for recommender in recommenders.values():
        _ = recommender.query_kind, recommender.candidate_kind  # says what is not declared
        for workspace in names.workspaces().values():
            popular.refresh(recommender, workspace, default_as_of())


def served_lately(recommenders: Iterable[Recommender], log: EventLog) -> pa.Table:
    """The log's latest impressions, oldest first, as many as are needed: each second of traffic is a file to open."""
    most = REMEMBERED if any(r.discount for r in recommenders) else LOOKED_AT
    columns = ["recommender", "workspace_id", "query_id", "candidate_id", "event_timestamp", "request_id"]
    return log.recent_rows(IMPRESSIONS, columns, most).sort_by("event_timestamp")


def remember_shown(
    recommenders: Mapping[str, Recommender], served: pa.Table, recent: RecentImpressions
) -> None:
    """Know from the log what was shown before the start."""
    for name, recommender in recommenders.items():
        if recommender.discount is None:
            continue
        for query_id, at, shown in _answers(served, name):
            recent.add(name, query_id, at, shown, recommender.discount.half_life)


def requests(
    recommenders: Mapping[str, Recommender], names: Names, served: pa.Table
) -> Iterator[RecommendRequest]:
    """The latest askers' requests once more, as dry runs; none for whoever was forgotten since."""
    workspaces = {id_: name for name, id_ in names.workspaces().items()}
    for name, recommender in recommenders.items():
        of_name = served.filter(pc.equal(served["recommender"], name))
        pairs = zip(*(of_name[c].to_pylist()[::-1] for c in ("workspace_id", "query_id")), strict=True)
        for workspace, query_id in list(dict.fromkeys(pairs))[:REPLAYED]:
            raw = names.reveal(workspace, recommender.query_kind, [query_id])[0]
            if raw is not None and workspace in workspaces:
                yield RecommendRequest(
                    workspace=workspaces[workspace],
                    recommender=name,
                    query={recommender.query_key: raw},
                    dry_run=True,
                    deadline_ms=60_000,
                )


def score_nothing(recommenders: Iterable[Recommender], champions: Champions) -> None:
    """Have each ranker do its first work, which takes longest, on rows without values."""
    for recommender in recommenders:
        scorer = champions.current(recommender.name)
        rows = np.full((_ROWS, len(recommender.feature_names)), np.nan, np.float32)
        try:
            scorer.ranker.score(rows)
        except Exception as error:
            logger.error("%s of %s does not score: %s", scorer.model_version, recommender.name, error)


def freeze() -> None:
    """Take what was made so far out of the garbage collector's sight, and have it look for more less often: half of the
    slowest answers were slow because of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _answers(served: pa.Table, recommender: str) -> Iterator[tuple[int, datetime, list[int]]]:
    of_name = served.filter(pc.equal(served["recommender"], recommender))
    grouped = of_name.group_by(["request_id", "query_id"], use_threads=False).aggregate(
        [("event_timestamp", "min"), ("candidate_id", "list")]
    )
    for row in grouped.to_pylist():
        yield row["query_id"], row["event_timestamp_min"], row["candidate_id_list"]
