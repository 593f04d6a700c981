"""Request ids: int64, sixteen digits, and they know who issued them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.errors import RecommendError
from serving import request_id
from serving.request_id import Issuers

NAMES = ["channel_browser", "composer_dm", "creator_invites", "leave_suggestions", "archive_suggestions"]


@given(st.sampled_from(NAMES))
def test_an_id_survives_its_text_and_names_its_issuer(name: str) -> None:
    issued = request_id.new(name)
    assert 0 <= issued < 2**63
    assert request_id.parse(request_id.text(issued)) == issued
    assert Issuers(NAMES).of(issued) == name


@given(st.text(max_size=20))
def test_only_sixteen_lower_case_digits_are_an_id(raw: str) -> None:
    parsed = request_id.parse(raw)
    assert parsed is None or request_id.text(parsed) == raw


def test_an_id_of_nobody_here_has_no_issuer() -> None:
    assert Issuers(["composer_dm"]).of(request_id.new("channel_browser")) is None


def test_names_that_could_be_confused_are_refused() -> None:
    many = [f"recommender_{n}" for n in range(1025)]  # more than there are tags
    with pytest.raises(RecommendError, match="rename one of them"):
        Issuers(many)


def test_ids_do_not_repeat() -> None:
    assert len({request_id.new("composer_dm") for _ in range(10_000)}) == 10_000
