"""Every offline table of the chat domain, built by real Spark through the job's own door."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.chat.events import EVENT_TABLES, MENTIONS, MESSAGES
from feature_repo.chat.ingest import ingest
from feature_repo.chat.sample import generate
from feature_repo.clock import midnight
from feature_repo.events import EventTable
from feature_repo.home import events_path, tables_path
from feature_repo.identity import WORKSPACE_SHIFT

pytestmark = pytest.mark.slow

DAY = date(2025, 8, 4)
"""The snapshot that most tests look at, a Monday."""

KNOWN = DAY + timedelta(days=20)
"""The sample goes on so long: a snapshot of DAY must not notice."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The event tables of two generated workspaces, ingested once."""
    base = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(base / "home"))
        for seed, name in ((7, "one"), (8, "two")):
            generate(base / name, users=40, days=130, until=KNOWN, seed=seed)
            ingest(base / name, "events", name)
        return events_path()


@pytest.fixture
def home(events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own with those events."""
    monkeypatch.setenv("RECOMMEND_HOME", str(tmp_path))
    shutil.copytree(events, events_path())
    return tmp_path


def build(since: date, as_of: date, *, rebuild: bool = False) -> int:
    """Bring every table up to ``as_of``, a snapshot a day; answers how many snapshots were built."""
    from feature_repo import catalog, offline

    steps = offline.steps(
        catalog.offline_tables(), as_of=as_of, since=since, cadence="daily", rebuild=rebuild
    )
    return sum(b.days for b in offline.build(steps, catalog.event_tables()))


def rows(day: date) -> dict[str, pd.DataFrame]:
    """Every table's rows of a day, in the order of their keys."""
    found = {}
    for folder in sorted(tables_path().iterdir()):
        frame = pq.read_table(folder / f"day={day}", partitioning=None).to_pandas()
        columns = sorted(c for c in frame if frame[c].dtype != object)
        found[folder.name] = frame[sorted(frame)].sort_values(columns, ignore_index=True)
    return found


def assert_same(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        pd.testing.assert_frame_equal(left[name], right[name], obj=name, rtol=1e-6)


def append(table: EventTable, *added: dict[str, object]) -> None:
    """Write events into their days' folders, as a later ingest would."""
    for n, row in enumerate(added):
        instant = row["event_timestamp"]
        assert isinstance(instant, datetime)
        folder = events_path() / table.name / f"day={instant.date()}"
        folder.mkdir(parents=True, exist_ok=True)
        full = {c.name: row.get(c.name) for c in table.schema}
        pq.write_table(
            pa.Table.from_pylist([full], schema=table.schema), folder / f"late-{n}-{hash(str(row))}.parquet"
        )


def a_public_channel() -> dict[str, int]:
    """A public channel of the first workspace."""
    frame = pq.read_table(events_path() / "channels").to_pandas()
    first = frame[(frame["workspace_id"] == 1) & (frame["kind"] == 0)].iloc[0]
    return {"workspace_id": 1, "channel_id": int(first["channel_id"])}


def messages_of(user: int) -> float:
    """How many messages of the last seven days DAY's row counts for somebody."""
    frame = rows(DAY)["user_activity"]
    return float(frame.loc[frame["user_id"] == user, "messages_7d"].iloc[0])


def test_a_row_of_a_day_knows_nothing_of_that_day_or_later(home: Path) -> None:
    build(DAY, DAY)
    before = rows(DAY)
    for table in EVENT_TABLES:
        for folder in (events_path() / table.name).glob("day=*"):
            if date.fromisoformat(folder.name.removeprefix("day=")) >= DAY:
                shutil.rmtree(folder)
    build(DAY, DAY, rebuild=True)
    assert_same(before, rows(DAY))
    assert all(len(frame) for frame in before.values())


def test_midnight_is_the_boundary(home: Path) -> None:
    build(DAY, DAY)
    frame = rows(DAY)["user_activity"]
    user = int(frame[(frame["workspace_id"] == 1) & (frame["messages_7d"] > 0)]["user_id"].iloc[0])
    counted = messages_of(user)
    post = {"message_id": 1, "user_id": user, **a_public_channel()}
    append(MESSAGES, post | {"event_timestamp": midnight(DAY)})
    assert build(DAY, DAY) == 0
    build(DAY, DAY, rebuild=True)
    assert messages_of(user) == counted
    append(MESSAGES, post | {"message_id": 2, "event_timestamp": midnight(DAY) - timedelta(microseconds=1)})
    assert build(DAY, DAY) > 0
    assert messages_of(user) == counted + 1


def test_a_late_event_rebuilds_what_should_have_seen_it_and_a_second_run_builds_nothing(home: Path) -> None:
    first = DAY - timedelta(days=2)
    assert build(first, DAY) == 3 * len(list(tables_path().iterdir()))
    assert build(first, DAY) == 0
    user = int(rows(DAY)["user_activity"]["user_id"].iloc[0])
    at = midnight(DAY - timedelta(days=1))
    append(MESSAGES, {"message_id": 3, "user_id": user, "event_timestamp": at, **a_public_channel()})
    assert build(first, DAY) == len(list(tables_path().iterdir()))


def test_one_run_or_pieces_in_any_order_come_to_the_same(home: Path) -> None:
    days = [DAY - timedelta(days=n) for n in range(4)]
    build(days[-1], days[0])
    together = [rows(day) for day in days]
    shutil.rmtree(tables_path())
    for day in (days[2], days[0], days[3], days[1]):
        build(day, day)
    for whole, day in zip(together, days, strict=True):
        assert_same(whole, rows(day))


def test_a_pair_that_was_silent_for_ninety_days_leaves(home: Path) -> None:
    everybody = pq.read_table(events_path() / "users").to_pandas()
    one, other = everybody[(everybody["workspace_id"] == 1) & ~everybody["is_bot"]]["user_id"].unique()[:2]
    for table in ("messages", "mentions", "reactions", "channel_links"):
        shutil.rmtree(events_path() / table, ignore_errors=True)
    at = datetime(2025, 5, 1, 12, tzinfo=UTC)
    said = {**a_public_channel(), "user_id": int(one), "message_id": 4, "event_timestamp": at}
    append(MESSAGES, said)
    append(MENTIONS, said | {"mentioned_user_id": int(other), "is_quote": False})
    last = at.date() + timedelta(days=90)
    build(last, last + timedelta(days=1))
    pair = rows(last)["user_user_affinity"]
    assert pair[(pair["user_id"] == one) & (pair["peer_id"] == other)]["mentions_made_90d"].tolist() == [1.0]
    assert len(rows(last + timedelta(days=1))["user_user_affinity"]) == 0


def test_workspaces_bots_and_lists(home: Path) -> None:
    build(DAY, DAY)
    built = rows(DAY)
    users = pq.read_table(events_path() / "users").to_pandas()
    bots = set(users[users["is_bot"]]["user_id"])
    for frame in built.values():
        for name in (c for c in frame if c.endswith("_id") and c != "workspace_id"):
            assert (
                (frame[name].to_numpy(np.int64) >> WORKSPACE_SHIFT)
                == frame["workspace_id"].to_numpy(np.int64)
            ).all()
            assert not set(frame[name]) & bots
    assert set(built["popular_channels"]["workspace_id"]) == {1, 2}
    joined = built["user_channel_affinity"]
    inside = set(joined[joined["is_member"]][["user_id", "channel_id"]].itertuples(index=False, name=None))
    assert inside
    for name, lists in (("channel_candidates", True), ("people_candidates", False)):
        frame = built[name]
        for column in (c for c in frame if c.startswith("by_")):
            for user, workspace, listed in zip(
                frame["user_id"], frame["workspace_id"], frame[column], strict=True
            ):
                ids = [] if listed is None else listed.tolist()
                assert len(ids) == len(set(ids)) <= 100
                assert all(i >> WORKSPACE_SHIFT == workspace for i in ids)
                assert user not in ids
                assert not bots & set(ids)
                assert not lists or not any((user, i) in inside for i in ids)
