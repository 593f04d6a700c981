"""What is remembered of one request's candidates, and answers another."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serving.draft import CALLER, NOBODY, Candidates
from serving.recall import LastRows, NothingRemembered

NOON = datetime(2025, 8, 1, 12, tzinfo=UTC)
NAMES = ("by_popularity", CALLER)
LISTED, OWN = 1, 2


def draft(candidates: Candidates = NOBODY, *offered: int, instead: bool = False) -> Any:
    """What of a draft is looked at."""

    def but(**changes: Any) -> Any:
        return SimpleNamespace(**changes, warn=lambda code: SimpleNamespace(**changes, warnings=(code,)))

    return SimpleNamespace(
        recommender=SimpleNamespace(name="channel_browser"),
        query_id=7,
        instant=NOON,
        shown=(),
        wish=SimpleNamespace(instead=instead, offered=np.array(offered, np.int64)),
        candidates=candidates,
        features=np.arange(len(candidates.ids), dtype=np.float32)[:, None],
        but=but,
    )


def of(**named: int) -> Candidates:
    ids = np.array([int(name[1:]) for name in named], np.int64)
    return Candidates(ids, np.array(list(named.values()), np.uint64), NAMES)


def test_what_one_request_brought_along_is_not_another_ones() -> None:
    rows = LastRows()
    rows.keep(draft(of(c1=LISTED, c2=LISTED | OWN, c3=OWN), 2, 3))
    found = rows.recall(draft(NOBODY, 1))
    assert found.candidates.ids.tolist() == [1, 2]
    assert found.candidates.sources == [["by_popularity", CALLER], ["by_popularity"]]
    assert found.features.tolist() == [[0], [1]]
    again = rows.recall(draft(NOBODY, 3, 4, instead=True))
    assert (again.candidates.ids.tolist(), again.candidates.sources) == ([3], [[CALLER]])
    assert again.warnings == ("cached-rows",)


def test_a_request_that_excluded_everybody_does_not_replace_what_is_remembered() -> None:
    rows = LastRows()
    with pytest.raises(NothingRemembered):
        rows.recall(draft())
    rows.keep(draft(of(c1=LISTED)))
    rows.keep(draft(of()))
    assert rows.recall(draft()).candidates.ids.tolist() == [1]
