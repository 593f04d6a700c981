"""Who did what after a cut-off: the window, the first time, what counts as an outcome, and who counts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.catalog import recommender
from feature_repo.chat.events import DM, GROUP_DM, MEMBERSHIPS, MENTIONS, MESSAGES, PRIVATE, PUBLIC
from feature_repo.clock import EARLIEST
from feature_repo.recommender import Recommender
from tests.hand_made import Row, write_channels, write_events, write_people
from training.labels import positives

T = datetime(2025, 6, 1, tzinfo=UTC)
LATER = T + timedelta(days=365)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ANN, BEN, CLEO, BOT = 1, 2, 3, 9
OPEN, CLOSED, GROUP, PAIR = 101, 102, 103, 104


@pytest.fixture(autouse=True)
def _people_and_channels(empty_home: Path) -> None:
    write_people(EARLIEST, [ANN, BEN, CLEO], bots=[BOT])
    write_channels(EARLIEST, {OPEN: PUBLIC, CLOSED: PRIVATE, GROUP: GROUP_DM, PAIR: DM})


@pytest.fixture
def channel_browser() -> Recommender:
    return recommender("channel_browser")


@pytest.fixture
def composer_dm() -> Recommender:
    return recommender("composer_dm")


def join(user: int, channel: int, at: datetime, *, joined: bool = True) -> Row:
    return {"user_id": user, "channel_id": channel, "joined": joined, "at": at}


def message(number: int, user: int, channel: int, at: datetime) -> Row:
    return {"message_id": number, "user_id": user, "channel_id": channel, "at": at}


def mention(number: int, author: int, mentioned: int, at: datetime, *, quote: bool = False) -> Row:
    return message(number, author, OPEN, at) | {"mentioned_user_id": mentioned, "is_quote": quote}


def found(
    declared: Recommender, cutoffs: Sequence[datetime] = (T,), as_of: datetime = LATER
) -> list[tuple[int, int, datetime]]:
    columns = positives(declared, cutoffs, as_of).to_pydict()
    assert list(columns) == [declared.query_key, declared.candidate_key, "cutoff"]
    return list(zip(*columns.values(), strict=True))


def test_the_window_excludes_the_cutoff_and_includes_its_end(channel_browser: Recommender) -> None:
    write_channels(EARLIEST, dict.fromkeys(range(201, 205), PUBLIC))
    end = T + channel_browser.outcome.window
    moments = {201: T, 202: T + SECOND, 203: end, 204: end + SECOND}
    write_events(MEMBERSHIPS, [join(ANN, channel, at) for channel, at in moments.items()])
    assert found(channel_browser) == [(ANN, 202, T), (ANN, 203, T)]


@pytest.mark.parametrize("as_of", [T + 2 * DAY, T + 3 * DAY - SECOND])
def test_nothing_after_as_of_is_seen(channel_browser: Recommender, as_of: datetime) -> None:
    write_events(MEMBERSHIPS, [join(ANN, OPEN, T + DAY), join(BEN, OPEN, T + 3 * DAY)])
    assert found(channel_browser, as_of=as_of) == [(ANN, OPEN, T)]


def test_what_can_happen_once_counts_the_first_time_only(channel_browser: Recommender) -> None:
    """A post before the cut-off was the first time, so that a join after it is none."""
    write_events(MESSAGES, [message(1, ANN, OPEN, T - DAY)])
    write_events(
        MEMBERSHIPS, [join(ANN, OPEN, T + DAY), join(BEN, OPEN, T + DAY), join(BEN, OPEN, T + 9 * DAY)]
    )
    assert found(channel_browser, [T, T + 5 * DAY]) == [(BEN, OPEN, T)]


def test_what_can_happen_again_counts_once_for_each_cutoff(composer_dm: Recommender) -> None:
    moments = [T - DAY, T + DAY, T + 2 * DAY, T + 8 * DAY]
    write_events(MENTIONS, [mention(n, ANN, BEN, at) for n, at in enumerate(moments)])
    cutoffs = [T, T + 7 * DAY, T + 14 * DAY]
    assert found(composer_dm, cutoffs) == [(ANN, BEN, T), (ANN, BEN, T + 7 * DAY)]


def test_a_first_post_is_a_join_and_leaving_is_none(channel_browser: Recommender) -> None:
    write_events(MESSAGES, [message(1, ANN, OPEN, T + DAY)])
    write_events(MEMBERSHIPS, [join(BEN, OPEN, T + DAY, joined=False)])
    assert found(channel_browser) == [(ANN, OPEN, T)]


@pytest.mark.parametrize("channel", [CLOSED, GROUP, PAIR])
def test_only_public_channels_are_browsed(channel_browser: Recommender, channel: int) -> None:
    write_events(MESSAGES, [message(1, ANN, channel, T + DAY)])
    write_events(MEMBERSHIPS, [join(BEN, channel, T + DAY), join(BEN, OPEN, T + DAY)])
    assert found(channel_browser) == [(BEN, OPEN, T)]


def test_bots_neither_join_nor_address_nor_are_addressed(
    channel_browser: Recommender, composer_dm: Recommender
) -> None:
    at = T + DAY
    write_events(MEMBERSHIPS, [join(BOT, OPEN, at), join(ANN, PAIR, T - DAY), join(BOT, PAIR, T - DAY)])
    write_events(MENTIONS, [mention(1, BOT, ANN, at), mention(2, ANN, BOT, at), mention(3, ANN, BEN, at)])
    write_events(MESSAGES, [message(4, ANN, PAIR, at), message(5, BOT, OPEN, at)])
    assert found(channel_browser) == []
    assert found(composer_dm) == [(ANN, BEN, T)]


def test_neither_oneself_nor_a_quotation_is_addressed(composer_dm: Recommender) -> None:
    at = T + DAY
    write_events(MENTIONS, [mention(1, ANN, ANN, at), mention(2, ANN, BEN, at, quote=True)])
    assert found(composer_dm) == []


@pytest.mark.parametrize(
    ("channel", "addressed"),
    [(PAIR, [BEN]), (GROUP, [BEN, CLEO]), (CLOSED, []), (OPEN, [])],
    ids=["direct", "group", "private", "public"],
)
def test_a_direct_message_addresses_the_others_who_are_in_it(
    composer_dm: Recommender, channel: int, addressed: list[int]
) -> None:
    others = addressed or [BEN]
    write_events(MEMBERSHIPS, [join(member, channel, T - DAY) for member in (ANN, *others)])
    write_events(MESSAGES, [message(1, ANN, channel, T + DAY)])
    assert found(composer_dm) == [(ANN, other, T) for other in addressed]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=st.lists(st.integers(0, 24 * 120), min_size=1, max_size=8), gap=st.integers(1, 60))
def test_positives_are_those_that_a_plain_loop_finds(tmp_path_factory, hours, gap) -> None:  # type: ignore[no-untyped-def]
    """Ann's mentions of Ben, an hour count after the first cut-off less 40 days; two cut-offs."""
    declared = recommender("composer_dm")
    start = T - timedelta(days=40)
    acts = [start + timedelta(hours=h) for h in hours]
    cutoffs = [T, T + gap * DAY]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(tmp_path_factory.mktemp("example")))
        write_people(EARLIEST, [ANN, BEN])
        write_events(MENTIONS, [mention(n, ANN, BEN, at) for n, at in enumerate(acts)])
        expected = [c for c in cutoffs if any(c < at <= c + declared.outcome.window for at in acts)]
        assert [cutoff for _, _, cutoff in found(declared, cutoffs)] == expected
