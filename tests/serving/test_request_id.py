"""Request ids: int64, 25 digits, and they know who issued them, and when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.clock import EARLIEST, LATEST
from feature_repo.errors import RecommendError
from serving import request_id
from serving.request_id import Issuers

NAMES = ["channel_browser", "composer_dm", "creator_invites", "leave_suggestions", "archive_suggestions"]


INSTANTS = st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC))


@given(st.sampled_from(NAMES), INSTANTS)
def test_an_id_survives_its_text_and_names_its_issuer_and_instant(name: str, at: datetime) -> None:
    number = request_id.new(name)
    assert 0 <= number < 2**63
    issued = request_id.parse(request_id.text(number, at))
    assert issued is not None
    assert issued.number == number
    assert timedelta(0) <= at - issued.at < timedelta(seconds=1)
    assert Issuers(NAMES).of(number) == name


@given(st.text(max_size=30) | st.from_regex("[0-9a-f]{24,26}", fullmatch=True))
def test_only_25_lower_case_digits_are_an_id(raw: str) -> None:
    issued = request_id.parse(raw)
    assert (issued is None) == (
        len(raw) != 25 or raw[0] not in "01234567" or not set(raw) <= set("0123456789abcdef")
    )
    assert issued is None or request_id.text(issued.number, issued.at) == raw


def test_an_id_of_nobody_here_has_no_issuer() -> None:
    assert Issuers(["composer_dm"]).of(request_id.new("channel_browser")) is None


def test_names_that_could_be_confused_are_refused() -> None:
    many = [f"recommender_{n}" for n in range(1025)]  # more than there are tags
    with pytest.raises(RecommendError, match="rename one of them"):
        Issuers(many)


def test_ids_do_not_repeat() -> None:
    assert len({request_id.new("composer_dm") for _ in range(10_000)}) == 10_000
