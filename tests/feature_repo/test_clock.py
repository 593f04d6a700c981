"""Instants are read as UTC, and what is none is refused in one line."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.clock import EARLIEST, LATEST, days_between, midnight, now, parse_instant
from feature_repo.errors import RecommendError

DAYS = st.dates(EARLIEST.date(), LATEST.date())


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-08-01", datetime(2025, 8, 1, tzinfo=UTC)),
        ("2025-08-01T12:30", datetime(2025, 8, 1, 12, 30, tzinfo=UTC)),
        ("2025-08-01 12:30:15", datetime(2025, 8, 1, 12, 30, 15, tzinfo=UTC)),
        ("2025-08-01T00:30:00+02:00", datetime(2025, 7, 31, 22, 30, tzinfo=UTC)),
        ("2025-08-01T12:00:00Z", datetime(2025, 8, 1, 12, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2200-01-01", LATEST),
    ],
)
def test_an_instant_is_utc_unless_it_says_otherwise(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2025-13-01", "2025-02-29", "01/08/2025", "2025-08-01T25:00", "0001-01-01T00:00+02:00"],
)
def test_what_is_no_instant_is_quoted_with_the_right_form(text: str) -> None:
    with pytest.raises(RecommendError) as error:
        parse_instant(text)
    assert str(error.value).startswith(f"{text!r} is not an instant: write 2025-08-01 or ")


@pytest.mark.parametrize("text", ["2200-01-02", "9999-12-31", "9999-12-31T23:59:59"])
def test_an_instant_after_which_no_window_fits_is_refused(text: str) -> None:
    with pytest.raises(RecommendError, match=f"^'{text}' is later than the year 2199: choose an earlier"):
        parse_instant(text)


@given(
    st.datetimes(EARLIEST.replace(tzinfo=None), datetime(2199, 1, 1)),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_an_instant_survives_being_written(local: datetime, zone: timezone) -> None:
    instant = local.replace(tzinfo=zone)
    assert parse_instant(instant.isoformat()) == instant


@given(DAYS)
def test_midnight_is_how_a_day_is_read(day: date) -> None:
    assert midnight(day) == parse_instant(day.isoformat())
    assert midnight(day).date() == day


@given(DAYS, st.integers(0, 400))
def test_days_between_are_all_days_both_ends_included(first: date, more: int) -> None:
    days = days_between(first, first + timedelta(days=more))
    assert (days[0], days[-1], len(days)) == (first, first + timedelta(days=more), more + 1)
    assert days == sorted(set(days))
    assert days_between(first, first - timedelta(days=1)) == []


def test_now_is_in_utc() -> None:
    assert now().tzinfo is UTC
    assert EARLIEST < now() < LATEST
