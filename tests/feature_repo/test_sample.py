"""The files of a generated workspace: what they hold, and what never happens in them."""

import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feature_repo.chat.events import EVENT_TABLES
from feature_repo.chat.sample import generate, sample_world
from feature_repo.chat.sample.rhythm import NEVER
from feature_repo.errors import RecommendError
from feature_repo.events import ID


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Every table of the folder, and views of who is there, what is open, and who is where, from when to when."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in EVENT_TABLES:
        connection.execute(f"CREATE TABLE {table.name} AS SELECT * FROM '{folder / table.name}.parquet'")
    connection.execute("""
        CREATE VIEW spans AS SELECT channel_id, any_value(kind) AS kind, min(event_timestamp) AS birth,
            max(event_timestamp) FILTER (WHERE is_archived) AS death FROM channels GROUP BY channel_id;
        CREATE VIEW people AS SELECT user_id, any_value(is_bot) AS is_bot, min(event_timestamp) AS arrival,
            max(event_timestamp) FILTER (WHERE is_deleted) AS departure FROM users GROUP BY user_id;
        CREATE VIEW stays AS SELECT *, lead(event_timestamp) OVER pair AS until, lag(joined) OVER pair AS before
            FROM memberships WINDOW pair AS (PARTITION BY user_id, channel_id ORDER BY event_timestamp);
        CREATE VIEW acts AS
            SELECT 'message' AS act, user_id, channel_id, event_timestamp AS t FROM messages
            UNION ALL SELECT 'mention', mentioned_user_id, channel_id, event_timestamp FROM mentions
            UNION ALL SELECT 'reaction', user_id, channel_id, event_timestamp FROM reactions
            UNION ALL SELECT 'link', user_id, linked_channel_id, event_timestamp FROM channel_links;
    """)
    return connection


NEVER_TRUE = {
    "an act of somebody who is not a member at that time": """
        FROM acts a WHERE NOT EXISTS (FROM stays s WHERE s.user_id = a.user_id AND s.channel_id = a.channel_id
            AND s.joined AND s.event_timestamp <= a.t AND (s.until IS NULL OR a.t < s.until))""",
    "an act before the arrival or after the departure": """
        FROM acts JOIN people USING (user_id) WHERE t <= arrival OR t >= departure""",
    "an act before the birth or after the death of the channel": """
        FROM acts JOIN spans USING (channel_id) WHERE t <= birth OR t >= death""",
    "a join or leave outside the time of its user or channel": """
        FROM memberships JOIN people USING (user_id) JOIN spans USING (channel_id)
        WHERE event_timestamp <= arrival OR event_timestamp > departure
           OR event_timestamp < birth OR event_timestamp >= death""",
    "a channel created by somebody who is not there": """
        FROM channels c JOIN people p ON p.user_id = c.creator_id
        WHERE NOT is_archived AND (event_timestamp <= arrival OR event_timestamp >= departure)""",
    "a join of a member, or a leave of somebody else": "FROM stays WHERE joined = coalesce(before, false)",
    "an inviter who is not a member": """
        FROM memberships m WHERE inviter_id IS NOT NULL AND NOT EXISTS (FROM stays s WHERE s.user_id = m.inviter_id
            AND s.channel_id = m.channel_id AND s.joined AND s.event_timestamp <= m.event_timestamp
            AND (s.until IS NULL OR m.event_timestamp <= s.until))""",
    "a bot that is mentioned or reacts, or a mention of oneself": """
        FROM acts JOIN people USING (user_id) WHERE is_bot AND act IN ('mention', 'reaction')
        UNION ALL BY NAME FROM mentions WHERE user_id = mentioned_user_id""",
    "a direct message not of two, or a group message of fewer than three": """
        FROM (SELECT channel_id, kind, count(*) AS members FROM memberships JOIN spans USING (channel_id)
              WHERE kind >= 2 GROUP BY ALL) WHERE (kind = 3 AND members <> 2) OR (kind = 2 AND members < 3)""",
    "a reply to a message that is not there before it, in the same channel": """
        FROM messages m LEFT JOIN messages root ON root.message_id = replace(m.thread_id, 'T', 'M')
        WHERE m.thread_id IS NOT NULL
          AND (root.channel_id IS DISTINCT FROM m.channel_id OR root.event_timestamp > m.event_timestamp)""",
    "a reaction to what is not there, or sooner": """
        FROM reactions r LEFT JOIN messages m USING (message_id) WHERE m.user_id IS DISTINCT FROM r.author_id
          OR m.channel_id IS DISTINCT FROM r.channel_id OR r.event_timestamp <= m.event_timestamp""",
    "a message whose counts differ from its mentions and links": """
        FROM messages m LEFT JOIN (SELECT message_id, count(*) FILTER (WHERE NOT is_quote) AS addressed,
            count(*) FILTER (WHERE is_quote) AS quoted FROM mentions GROUP BY ALL) USING (message_id)
        WHERE m.mentions <> coalesce(addressed, 0) OR m.quotes <> coalesce(quoted, 0)
           OR (m.links = 0 AND m.message_id IN (SELECT message_id FROM channel_links))""",
}


@example(users=54, days=17, seed=1437)
@settings(max_examples=12, deadline=None)
@given(users=st.integers(1, 70), days=st.integers(7, 40), seed=st.integers(0, 2**32))
def test_nothing_happens_out_of_order(users: int, days: int, seed: int) -> None:
    until = date(2025, 3, 3)
    with tempfile.TemporaryDirectory() as folder:
        report = generate(Path(folder) / "raw", users=users, days=days, until=until, seed=seed)
        connection = connect(report.path)
        for violation, query in NEVER_TRUE.items():
            found = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
            assert found == (0,), violation
        for table in EVENT_TABLES:
            name, key = table.name, ", ".join(table.key)
            twice = f"SELECT {key} FROM {name} GROUP BY {key} HAVING count(*) > 1"
            assert connection.execute(twice).fetchall() == []
            instants = pq.read_table(report.path / f"{name}.parquet")["event_timestamp"].to_numpy()
            assert len(instants) == report.rows[name]
            assert (np.diff(instants) >= np.timedelta64(0)).all()
            assert ((instants >= np.datetime64(report.since)) & (instants < np.datetime64(until))).all()
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (users,)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a workspace of the default size."""
    return generate(tmp_path_factory.mktemp("sample") / "raw").path


def one(folder: Path, query: str) -> float:
    """The single number that a query answers."""
    row = connect(folder).execute(query).fetchone()
    assert row is not None
    return float(row[0])


def test_files_have_the_columns_of_the_event_tables_with_strings_for_ids(sample: Path) -> None:
    assert {p.name for p in sample.iterdir()} == {f"{t.name}.parquet" for t in EVENT_TABLES}
    for table in EVENT_TABLES:
        rows = pq.read_table(sample / f"{table.name}.parquet")
        expected = [("event_timestamp", pa.timestamp("us", tz="UTC"))]
        expected += [(c.name, pa.string() if c.type == ID else c.type) for c in table.columns]
        assert [(f.name, f.type) for f in rows.schema] == expected
        assert all(rows[c.name].null_count == 0 for c in table.columns if not c.optional)


def test_the_default_size(sample: Path) -> None:
    assert 150_000 <= one(sample, "SELECT count(*) FROM messages") <= 300_000
    assert one(sample, "SELECT count(*) FROM spans WHERE kind = 0") == pytest.approx(2000 / 12, abs=1)
    for something in (
        "FROM spans WHERE kind = 0 AND death IS NOT NULL",
        "FROM people WHERE departure IS NOT NULL",
        "FROM messages JOIN people USING (user_id) WHERE is_bot",
        "FROM messages JOIN spans USING (channel_id) WHERE kind = 2",
        "FROM memberships JOIN spans USING (channel_id) WHERE kind = 0 AND NOT joined",
        "FROM mentions WHERE is_quote",
    ):
        assert one(sample, f"SELECT count(*) {something}") > 20, something


def test_activity_is_heavy_tailed(sample: Path) -> None:
    share = one(
        sample,
        """SELECT sum(n) FILTER (WHERE place <= 0.1) / sum(n) FROM (
               SELECT n, percent_rank() OVER (ORDER BY n DESC) AS place FROM (
                   SELECT count(message_id) AS n FROM people LEFT JOIN messages USING (user_id)
                   WHERE NOT is_bot GROUP BY user_id))""",
    )
    assert 0.35 <= share <= 0.75


def test_weekends_are_quiet_but_for_the_programs(sample: Path) -> None:
    ratio = """SELECT count(*) FILTER (WHERE isodow(event_timestamp) >= 6) / 2
                      / (count(*) FILTER (WHERE isodow(event_timestamp) <= 5) / 5)
               FROM messages JOIN people USING (user_id) WHERE is_bot = {}"""
    assert one(sample, ratio.format(False)) < 0.4
    assert one(sample, ratio.format(True)) == pytest.approx(1.0, abs=0.1)


def test_the_files_hold_the_stays_of_the_world(sample: Path) -> None:
    world = sample_world()
    found = (
        connect(sample)
        .execute("""SELECT user_id, channel_id, joined, event_timestamp
                    FROM memberships JOIN spans USING (channel_id) WHERE kind < 2""")
        .fetchnumpy()
    )
    user, channel = (np.array([int(i[1:]) - 1 for i in found[c]]) for c in ("user_id", "channel_id"))
    instant = found["event_timestamp"].astype("datetime64[us]") - np.datetime64(world.setting.start, "us")
    rows = set(zip(user, channel, found["joined"], instant.astype(np.int64), strict=True))
    stays = world.memberships
    left = stays.take(stays.left < NEVER)
    expected = {(u, c, True, t) for u, c, t in zip(stays.user, stays.channel, stays.joined, strict=True)}
    expected |= {(u, c, False, t) for u, c, t in zip(left.user, left.channel, left.left, strict=True)}
    assert rows == expected


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_seed_decides_every_byte_and_an_earlier_sample_is_replaced(tmp_path: Path) -> None:
    first = generate(tmp_path / "a" / "raw", users=60, days=14, seed=1)
    same = generate(tmp_path / "b", users=60, days=14, seed=1)
    assert contents(first.path) == contents(same.path)
    assert first.rows == same.rows
    other = generate(tmp_path / "b", users=60, days=14, seed=2)
    assert contents(first.path) != contents(other.path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"users": 0}, "--users 0 is out of range"),
        ({"users": 50_001}, "--users 50001 is out of range"),
        ({"days": 6}, "--days 6 is out of range"),
        ({"days": 2001}, "--days 2001 is out of range"),
        ({"seed": -1}, "--seed -1 is negative"),
        ({"until": date(2000, 2, 1)}, "--until 2000-02-01 is out of range"),
        ({"until": date(2999, 1, 1)}, "--until 2999-01-01 is out of range"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, arguments: dict[str, int], told: str) -> None:
    with pytest.raises(RecommendError, match=told):
        generate(tmp_path / "raw", **{"users": 30, "days": 40} | arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def as_file(out: Path) -> None:
    out.write_text("mine")


def as_foreign_folder(out: Path) -> None:
    out.mkdir()
    (out / "users.parquet").write_text("mine")


def as_added_to(out: Path) -> None:
    generate(out, users=5, days=7)
    (out / "notes.txt").write_text("mine")


def as_same_names(out: Path) -> None:
    out.mkdir()
    for table in EVENT_TABLES:
        pq.write_table(pa.table({"mine": [1]}), out / f"{table.name}.parquet")


@pytest.mark.parametrize("prepare", [as_file, as_foreign_folder, as_added_to, as_same_names])
def test_what_is_no_sample_is_never_replaced(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    out = tmp_path / "raw"
    prepare(out)
    before = out.read_bytes() if out.is_file() else contents(out)
    with pytest.raises(RecommendError, match="--out"):
        generate(out, users=5, days=7)
    assert (out.read_bytes() if out.is_file() else contents(out)) == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecommendError, match="cannot write --out"):
        generate(tmp_path / "file" / "raw", users=5, days=7)


def test_an_interruption_leaves_the_earlier_sample_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    generate(out, users=5, days=7)
    before = contents(out)

    def stop(day: int) -> None:
        if day == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(out, users=50, days=7, on_day=stop)
    assert contents(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]
