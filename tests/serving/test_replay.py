"""Real later behaviour as visits, and those visits against a live service."""

import socket
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pytest

from feature_repo.catalog import recommender
from feature_repo.chat.events import MEMBERSHIPS, MENTIONS, PUBLIC
from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.events import PLATFORM_TABLES, register
from feature_repo.home import vault_path
from feature_repo.identity import Vault
from feature_repo.recommender import Recommender
from serving import request_id
from serving.replay import BEFORE_THE_ACT, SHOWN, Replay, Visit, load, replay, save, visits
from tests.hand_made import Row, write_channels, write_events, write_people
from tests.serving.live_server import Server, eventually, logged
from training.champion import champion

DAY = timedelta(days=1)
SINCE = datetime(2025, 8, 1, tzinfo=UTC)
UNTIL = SINCE + 31 * DAY
ANN, BEN, CLEO = 1, 2, 3
CHANNELS = tuple(range(101, 110))


@pytest.fixture
def browser() -> Recommender:
    return recommender("channel_browser")


@pytest.fixture
def composer() -> Recommender:
    return recommender("composer_dm")


@pytest.fixture
def _community() -> None:
    write_people(EARLIEST, [ANN, BEN, CLEO])
    write_channels(EARLIEST, dict.fromkeys(CHANNELS, PUBLIC))


def joins(*acts: tuple[int, int, datetime]) -> None:
    rows = [{"user_id": u, "channel_id": c, "joined": True, "at": at} for u, c, at in acts]
    write_events(MEMBERSHIPS, rows)


def mention(number: int, author: int, mentioned: int, at: datetime) -> Row:
    row = {"message_id": number, "user_id": author, "channel_id": CHANNELS[0], "at": at}
    return row | {"mentioned_user_id": mentioned, "is_quote": False}


def made(declared: Recommender, most: int | None = None, seed: int = 7) -> list[Visit]:
    return visits(declared, SINCE, UNTIL, most, seed)


@pytest.mark.usefixtures("_community")
class TestVisits:
    """Who is asked for, when, and what would have been right."""

    def test_a_user_visits_once_a_day_before_the_first_act(self, browser: Recommender) -> None:
        first = SINCE + timedelta(hours=9)
        joins(
            (ANN, 101, first),
            (ANN, 102, first + timedelta(hours=3)),
            (BEN, 101, first),
            (ANN, 103, first + DAY),
        )
        assert [(v.query_id, v.at) for v in made(browser)] == [
            (ANN, first - BEFORE_THE_ACT),
            (BEN, first - BEFORE_THE_ACT),
            (ANN, first + DAY - BEFORE_THE_ACT),
        ]

    def test_all_of_the_window_is_chosen_and_nothing_later(self, browser: Recommender) -> None:
        first = UNTIL - DAY
        end = first + browser.outcome.window
        joins((ANN, 101, first), (ANN, 102, UNTIL + DAY), (ANN, 103, end), (ANN, 104, end + DAY))
        (visit,) = made(browser)
        assert visit.chosen == {101: first, 102: UNTIL + DAY, 103: end}

    def test_the_days_are_from_the_first_to_before_the_last(self, browser: Recommender) -> None:
        joins((ANN, 101, SINCE - DAY), (BEN, 101, SINCE), (CLEO, 102, UNTIL))
        assert [v.query_id for v in made(browser)] == [BEN]

    def test_what_happens_once_is_not_offered_again(self, browser: Recommender) -> None:
        joins((ANN, 101, SINCE + DAY), (ANN, 102, SINCE + 2 * DAY), (ANN, 103, SINCE + 3 * DAY))
        assert [(set(v.before), set(v.chosen)) for v in made(browser)] == [
            (set(), {101, 102, 103}),
            ({101}, {102, 103}),
            ({101, 102}, {103}),
        ]

    def test_a_second_join_of_the_same_channel_is_no_visit(self, browser: Recommender) -> None:
        joins((ANN, 101, SINCE - 9 * DAY), (ANN, 101, SINCE + DAY), (BEN, 101, SINCE + DAY))
        assert [v.query_id for v in made(browser)] == [BEN]

    def test_what_happens_again_is_offered_again(self, composer: Recommender) -> None:
        write_events(MENTIONS, [mention(n, ANN, BEN, SINCE + n * DAY) for n in range(3)])
        found = made(composer)
        assert len(found) == 3
        assert all(v.before == () and set(v.chosen) == {BEN} for v in found)
        assert [v.chosen[BEN] for v in found] == [SINCE + n * DAY for n in range(3)]

    def test_a_sample_is_a_seeded_part_in_order_of_time(self, browser: Recommender) -> None:
        joins(*[(user, c, SINCE + n * DAY) for user in (ANN, BEN) for n, c in enumerate(CHANNELS)])
        whole = made(browser)
        assert len(whole) == 2 * len(CHANNELS)
        sample = made(browser, most=6, seed=1)
        assert len(sample) == 6
        assert all(v in whole for v in sample)
        assert [v.at for v in sample] == sorted(v.at for v in sample)
        assert made(browser, most=6, seed=1) == sample
        assert made(browser, most=6, seed=2) != sample
        assert made(browser, most=1000) == whole

    def test_where_nobody_acted_there_is_nothing_to_replay(self, browser: Recommender) -> None:
        joins((ANN, 101, SINCE - DAY))
        with pytest.raises(RecommendError, match=r"nobody did join from 2025-08-01 to 2025-09-01: nothing"):
            made(browser)


def test_no_service_is_one_line_that_says_how_to_start_one(browser: Recommender) -> None:
    with Vault(vault_path()) as vault:
        (user,) = vault.intern(vault.workspace("acme", create=True), "user", ["U1"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(
            RecommendError, match=f"no service answers at {closed} .*`recommend serve`"
        ) as error:
            replay(browser, [Visit(int(user), SINCE, {}, ())], closed)
    assert "\n" not in str(error.value)


def test_a_replay_against_the_live_service_logs_the_outcomes_that_it_counts(
    server: Server, browser: Recommender
) -> None:
    """U1 chooses the 1st and 4th shown item and one that is not shown; U2 none of what is shown."""
    at = SINCE + timedelta(hours=10, minutes=7)
    shown = [i["id"] for i in server.recommend(limit=SHOWN, as_of=at.isoformat())["items"]]
    with Vault(vault_path()) as vault:
        (workspace,) = vault.workspaces().values()
        one, two = vault.lookup(workspace, "user", ["U1", "U2"]).tolist()
        first, fourth = vault.lookup(workspace, "channel", [shown[0], shown[3]]).tolist()
        (hidden,) = vault.lookup(workspace, "channel", ["C249"]).tolist()
    chosen = {first: at + DAY, fourth: at + 2 * DAY, hidden: at + DAY}
    told: list[None] = []
    result = replay(
        browser,
        [Visit(one, at, chosen, ()), Visit(two, at, {}, ())],
        str(server.http.base_url),
        lambda: told.append(None),
    )
    serving = champion(browser.name)
    assert serving is not None
    assert len(told) == 2
    assert (result.model_versions, result.rungs) == ((serving.version,), ("heuristic",))
    assert result.users.tolist() == [one, two]
    assert result.shown.tolist() == [SHOWN, SHOWN]
    assert result.clicks.tolist() == [2, 0]
    assert result.dcg.tolist() == pytest.approx([1 + 1 / np.log2(5), 0])
    assert result.clickthrough().value == pytest.approx(2 / (2 * SHOWN))

    outcomes = replayed("outcomes", f"event_timestamp IN ('{at + DAY}', '{at + 2 * DAY}')", 2)
    assert {(o["candidate_id"], o["event_timestamp"]) for o in outcomes} == {
        (first, at + DAY),
        (fourth, at + 2 * DAY),
    }
    assert {(o["outcome"], o["recommender"]) for o in outcomes} == {("join", browser.name)}
    (request,) = {o["request_id"] for o in outcomes}
    impressions = logged("impressions", request_id.text(request, at), SHOWN)
    clicked = {i["position"] for i in impressions if i["candidate_id"] in chosen}
    assert clicked == {1, 4}
    assert {(i["query_id"], i["event_timestamp"]) for i in impressions} == {(one, at)}


def replayed(table: str, where: str, rows: int) -> list[Row]:
    """The log's rows, once there are so many."""
    found: list[Row] = []
    with duckdb.connect() as connection:

        def enough() -> bool:
            register(connection, PLATFORM_TABLES)
            found[:] = connection.sql(f"SELECT * FROM {table} WHERE {where}").to_arrow_table().to_pylist()
            return len(found) >= rows

        eventually(enough, 10, lambda: f"{len(found)} of {rows} rows in the log")
    return found


def test_an_item_that_was_taken_before_is_not_shown(server: Server, browser: Recommender) -> None:
    at = SINCE + timedelta(hours=11)
    top = server.recommend(limit=1, as_of=at.isoformat())["items"][0]["id"]
    with Vault(vault_path()) as vault:
        (workspace,) = vault.workspaces().values()
        (user,) = vault.lookup(workspace, "user", ["U1"]).tolist()
        (taken,) = vault.lookup(workspace, "channel", [top]).tolist()
    url = str(server.http.base_url)
    free = replay(browser, [Visit(user, at, {taken: at + DAY}, ())], url)
    excluded = replay(browser, [Visit(user, at, {taken: at + DAY}, (taken,))], url)
    assert (free.clicks.tolist(), excluded.clicks.tolist()) == ([1], [0])


def test_a_refused_request_says_what_the_service_answered(server: Server, browser: Recommender) -> None:
    with Vault(vault_path()) as vault:
        (workspace,) = vault.workspaces().values()
        (user,) = vault.lookup(workspace, "user", ["U1"]).tolist()
    url = str(server.http.base_url)
    with pytest.raises(RecommendError, match=r"answered 404 .*recommender: is not declared: choose one of"):
        replay(changed(browser, name="nosuch"), [Visit(user, SINCE, {}, ())], url)
    future = datetime(2150, 1, 1, tzinfo=UTC)
    with pytest.raises(RecommendError, match=r"does not fit the contract: as_of: should be between") as said:
        replay(browser, [Visit(user, future, {}, ())], url)
    assert "\n" not in str(said.value)


RESULT = Replay(
    recommender="channel_browser",
    model_versions=("a", "b"),
    rungs=("heuristic",),
    users=np.array([1, 1 << 41]),
    shown=np.array([10.0, 0.0]),
    clicks=np.array([3.0, 0.0]),
    dcg=np.array([1.25, 0.0]),
)


def test_two_replays_of_the_same_visits_are_compared_visit_by_visit() -> None:
    better = changed(RESULT, clicks=np.array([5.0, 0.0]), dcg=RESULT.dcg + 0.5)
    clickthrough, dcg = better.lifts(RESULT)
    assert clickthrough.value == pytest.approx((0.5 - 0.3) / 2)
    assert (dcg.value, dcg.low, dcg.high) == pytest.approx((0.5, 0.5, 0.5))
    with pytest.raises(RecommendError, match="different visits"):
        better.lifts(changed(RESULT, users=RESULT.users[::-1]))


def test_a_result_survives_a_file() -> None:
    result = RESULT
    again = load(save(result))
    assert again.clickthrough() == result.clickthrough()
    assert again.mean_dcg() == result.mean_dcg()
    assert (again.users.tolist(), again.model_versions, again.rungs) == (
        result.users.tolist(),
        result.model_versions,
        result.rungs,
    )
