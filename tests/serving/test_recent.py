"""Recent impressions fade as declared, by brute force."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.discount import Discount
from feature_repo.errors import RecommendError
from feature_repo.identity import UNKNOWN
from serving.draft import Candidates
from serving.recent import HALF_LIVES, RecentImpressions

NOON = datetime(2025, 8, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DISCOUNT = Discount(strength=1.0, half_life=6 * HOUR)

answers = st.lists(st.tuples(st.integers(0, 72), st.sets(st.integers(1, 12), max_size=5)), max_size=12)


def draft(query_id: int, at: datetime, ids: list[int], request_id: int = 1) -> Any:
    """What of a draft is looked at."""
    recommender = SimpleNamespace(name="channel_browser", discount=DISCOUNT)
    candidates = Candidates(np.array(ids, np.int64), np.zeros(len(ids), np.uint64), ())
    asked = {"recommender": recommender, "query_id": query_id, "instant": at, "request_id": request_id}
    return SimpleNamespace(candidates=candidates, **asked)


@given(answers, st.integers(0, 48))
@settings(deadline=None)
def test_an_impression_counts_half_after_each_half_life(
    shown: list[tuple[int, set[int]]], later: int
) -> None:
    recent, ids = RecentImpressions(), list(range(1, 15))
    shown.sort(key=lambda answer: answer[0])
    for hour, items in shown:
        recent.add("channel_browser", 7, NOON + hour * HOUR, items, DISCOUNT.half_life)
    hours = (shown[-1][0] if shown else 0) + later
    expected = [sum(0.5 ** ((hours - hour) / 6) for hour, items in shown if i in items) for i in ids]
    found = recent.weights(draft(7, NOON + hours * HOUR, ids))
    tolerance = 0.5**HALF_LIVES * max(len(shown), 1)
    assert found == pytest.approx(expected, abs=tolerance)
    assert not recent.weights(draft(8, NOON + hours * HOUR, ids)).any()


def test_where_time_goes_back_memory_begins_anew() -> None:
    recent = RecentImpressions()
    recent.add("channel_browser", 7, NOON, [1], DISCOUNT.half_life)
    assert recent.weights(draft(7, NOON - HOUR, [1])).tolist() == [0]
    recent.add("channel_browser", 7, NOON - HOUR, [2], DISCOUNT.half_life)
    assert recent.weights(draft(7, NOON - HOUR, [1, 2])).tolist() == [0, 1]


def test_an_answer_does_not_count_against_its_own_shadow() -> None:
    recent = RecentImpressions()
    recent.add("channel_browser", 7, NOON, [1], DISCOUNT.half_life, request_id=21)
    recent.add("channel_browser", 7, NOON, [1, 2], DISCOUNT.half_life, request_id=22)
    assert recent.weights(draft(7, NOON, [1, 2], request_id=22)).tolist() == [1, 0]
    assert recent.weights(draft(7, NOON, [1, 2], request_id=23)).tolist() == [2, 1]


def test_the_least_recently_asked_is_forgotten_first() -> None:
    recent = RecentImpressions(most_askers=2)
    for query_id in (1, 2, 3):
        recent.add("channel_browser", query_id, NOON, [5], DISCOUNT.half_life)
    assert [recent.weights(draft(q, NOON, [5])).tolist() for q in (1, 2, 3)] == [[0], [1], [1]]


@pytest.mark.parametrize("wrong", [{"strength": 0}, {"half_life": timedelta(0)}])
def test_a_discount_that_takes_nothing_off_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecommendError, match="above 0"):
        Discount(**wrong)


def test_answers_in_another_order_than_they_were_asked_for_are_all_remembered() -> None:
    recent, just_before = RecentImpressions(), NOON - timedelta(seconds=2)
    recent.add("channel_browser", 7, NOON, [1], DISCOUNT.half_life)
    recent.add("channel_browser", 7, just_before, [2], DISCOUNT.half_life)
    for at in (just_before, NOON):
        assert recent.weights(draft(7, at, [1, 2, 3])) == pytest.approx([1, 1, 0], abs=1e-3)


def test_what_one_stranger_was_shown_is_nothing_to_another() -> None:
    recent = RecentImpressions()
    recent.add("channel_browser", UNKNOWN, NOON, [1], DISCOUNT.half_life)
    assert not recent.weights(draft(UNKNOWN, NOON, [1])).any()
