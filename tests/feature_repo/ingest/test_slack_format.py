"""The format *slack-export*, on a small planted export."""

import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from feature_repo.chat.events import DM, GROUP_DM, PRIVATE, PUBLIC
from feature_repo.chat.ingest import ingest
from feature_repo.chat.ingest.slack_message import microseconds
from feature_repo.chat.ingest.slack_text import analyse
from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.home import events_path, quarantine_path
from feature_repo.ingest import BadRow

Rows = list[dict[str, Any]]
Write = Callable[[str, Any], Path]
AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
T0 = 1704067200  # 2024-01-01T00:00:00Z

USERS: Rows = [
    {
        "id": "U1",
        "name": "ann",
        "tz_offset": 3600,
        "updated": T0,
        "is_owner": True,
        "profile": {"email": "a@b.c"},
    },
    {"id": "U2", "deleted": True, "updated": T0 + 5},
    {"id": "U3", "is_bot": True, "profile": {"bot_id": "B3"}},
]
CHANNELS: Rows = [
    {"id": "C1", "name": "general", "created": T0, "creator": "U1", "members": ["U1", "U2", "U4"]},
    {"id": "C2", "name": "quiet", "created": T0, "creator": "U1", "is_archived": True, "members": ["U1"]},
]
DAY_1: Rows = [
    {"type": "message", "subtype": "channel_join", "ts": f"{T0 + 10}.000100", "user": "U4", "inviter": "U1"},
    {"type": "message", "ts": f"{T0 + 20}.000200", "user": "U1", "thread_ts": f"{T0 + 20}.000200",
     "text": "<@U2|bob> see <#C2|quiet> and <https://x.y|z>\n&gt; <@U4> said\n```<@U3>```",
     "files": [{"id": "F1"}], "edited": {"user": "U1", "ts": f"{T0 + 30}.0"},
     "reactions": [{"name": "+1", "users": ["U2", "U9"]}, {"name": "eyes", "users": ["U2"]}]},
    {"type": "message", "ts": f"{T0 + 40}.000300", "user": "U9", "thread_ts": f"{T0 + 20}.000200", "text": "hi"},
    {"type": "message", "subtype": "bot_message", "ts": f"{T0 + 50}.0", "bot_id": "B3", "text": "beep"},
    {"type": "message", "subtype": "bot_message", "ts": f"{T0 + 60}.0", "bot_id": "B7", "text": "boop"},
    {"type": "message", "subtype": "channel_topic", "ts": f"{T0 + 70}.0", "user": "U1", "topic": "secret"},
]  # fmt: skip
DAY_2: Rows = [
    {"type": "message", "subtype": "message_changed", "ts": f"{T0 + 90000}.0",
     "message": {"type": "message", "ts": f"{T0 + 20}.000200", "user": "U1", "text": "edited"}},
    {"type": "message", "subtype": "channel_leave", "ts": f"{T0 + 90001}.0", "user": "U2"},
    {"type": "message", "subtype": "channel_archive", "ts": f"{T0 + 90002}.0", "user": "U1"},
]  # fmt: skip


@pytest.fixture
def export(write_json: Write) -> Path:
    write_json("users.json", USERS)
    write_json("channels.json", CHANNELS)
    write_json("groups.json", [{"id": "G1", "name": "board", "created": T0, "members": []}])
    write_json("mpims.json", [{"id": "G2", "name": "mpdm-a--b--c-1", "created": T0, "members": ["U1"]}])
    write_json("dms.json", [{"id": "D1", "created": T0, "members": ["U1", "U2"]}])
    write_json("general/2024-01-01.json", DAY_1)
    write_json("general/2024-01-02.json", DAY_2)
    write_json("general/canvas_in_the_conversation.json", {"no": "day"})
    write_json(
        "D1/2024-01-01.json", [{"type": "message", "ts": f"{T0 + 5}.000001", "user": "U2", "text": "psst"}]
    )
    return write_json("integration_logs.json", [])


def test_counts(export: Path) -> None:
    report = ingest(export, "slack-export", "acme", as_of=AS_OF)
    kept = {name: (c.read, c.kept, c.duplicate, c.quarantined) for name, c in report.counts.items()}
    assert kept == {
        # U1 and U2 twice: from the start, and as of their last change; U3; the unlisted B7
        "users": (6, 6, 0, 0),
        "channels": (7, 7, 0, 0),  # five are created, one is archived on record, one without
        "messages": (6, 5, 1, 0),  # the edit is a second sighting
        "mentions": (2, 2, 0, 0),
        "channel_links": (1, 1, 0, 0),
        "reactions": (2, 2, 0, 0),
        "memberships": (8, 8, 0, 0),
    }
    assert report.skipped == 1


def test_messages(export: Path, stored: Callable[[str], Rows]) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    direct, first, reply, listed_bot, unlisted_bot = stored("messages")
    assert (direct["channel_id"], direct["user_id"]) == ("D1", "U2")
    assert first["event_timestamp"] == datetime(2024, 1, 1, 0, 0, 20, 200, tzinfo=UTC)
    assert first["characters"] == len(DAY_1[1]["text"])
    counts = ("code_blocks", "quotes", "links", "mentions", "attachments")
    assert [first[c] for c in counts] == [1, 1, 1, 2, 1]
    assert first["thread_id"] == reply["thread_id"]
    assert direct["thread_id"] is None
    assert reply["user_id"] == "U9"  # in no list, still somebody
    assert (listed_bot["user_id"], unlisted_bot["user_id"]) == ("U3", "B7")


def test_mentions_links_and_reactions(export: Path, stored: Callable[[str], Rows]) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    assert {(m["user_id"], m["mentioned_user_id"], m["is_quote"]) for m in stored("mentions")} == {
        ("U1", "U2", False),
        ("U1", "U4", True),
    }
    assert [row["linked_channel_id"] for row in stored("channel_links")] == ["C2"]
    assert {(r["user_id"], r["author_id"], r["count"]) for r in stored("reactions")} == {
        ("U2", "U1", 2),
        ("U9", "U1", 1),
    }


def test_users_are_there_from_the_start_and_leave_when_the_list_says(
    export: Path, stored: Callable[[str], Rows]
) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    rows = [
        (r["user_id"], r["event_timestamp"], r["is_bot"], r["is_deleted"], r["role"]) for r in stored("users")
    ]
    assert ("U2", EARLIEST, False, False, None) in rows
    assert ("U2", datetime(2024, 1, 1, 0, 0, 5, tzinfo=UTC), False, True, 400) in rows
    assert ("U1", datetime(2024, 1, 1, tzinfo=UTC), False, False, 100) in rows
    assert ("B7", EARLIEST, True, None, None) in rows
    assert {r["utc_offset_minutes"] for r in stored("users") if r["user_id"] == "U1"} == {60}


def test_channels(export: Path, stored: Callable[[str], Rows]) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    rows = stored("channels")
    kinds = {r["channel_id"]: r["kind"] for r in rows}
    assert kinds == {"C1": PUBLIC, "C2": PUBLIC, "G1": PRIVATE, "G2": GROUP_DM, "D1": DM}
    archived = {r["channel_id"]: r["event_timestamp"] for r in rows if r["is_archived"]}
    assert archived["C1"] == datetime(2024, 1, 2, 1, 0, 2, tzinfo=UTC)  # on record
    assert archived["C2"] == datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)  # without: it never had a message


def test_memberships_without_a_recorded_joining_date_from_the_creation(
    export: Path, stored: Callable[[str], Rows]
) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    rows = [(r["channel_id"], r["user_id"], round(r["event_timestamp"].timestamp() - T0, 4), r["joined"]) for r in stored("memberships")]  # fmt: skip
    assert sorted(row for row in rows if row[0] == "C1") == [
        ("C1", "U1", 0, True),
        ("C1", "U2", 0, True),
        ("C1", "U2", 90001, False),
        ("C1", "U4", 10.0001, True),
    ]
    assert {row[:2] for row in rows if row[0] != "C1"} == {
        ("C2", "U1"),
        ("D1", "U1"),
        ("D1", "U2"),
        ("G2", "U1"),
    }
    assert [r["inviter_id"] for r in stored("memberships") if r["inviter_id"]] == ["U1"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_zip_file_is_the_same_and_adds_nothing(export: Path, tmp_path: Path, wrapped: bool) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    base = export.name if wrapped else "."
    archive = shutil.make_archive(str(tmp_path / "zipped"), "zip", export.parent if wrapped else export, base)
    again = ingest(Path(archive), "slack-export", "acme", as_of=AS_OF)
    assert (again.total.kept, again.total.duplicate) == (0, again.total.read)


def test_a_newer_export_adds_only_what_is_new(export: Path, write_json: Write) -> None:
    ingest(export, "slack-export", "acme", as_of=AS_OF)
    write_json(
        "general/2024-01-03.json", [{"type": "message", "ts": f"{T0 + 200000}.0", "user": "U4", "text": "!"}]
    )
    report = ingest(export, "slack-export", "acme", as_of=AS_OF)
    assert report.total.kept == report.counts["messages"].kept == 1


BAD: dict[str, tuple[Any, str]] = {
    "no object": ("just text", "the record is no JSON object"),
    "a garbled ts": ({"ts": "noon", "user": "U1"}, "ts is no time stamp"),
    "a ts that is a list": ({"ts": [1], "user": "U1"}, "ts is no string"),
    "no ts": ({"user": "U1"}, "event_timestamp has no value"),
    "no author": ({"ts": f"{T0}.0"}, "user_id has no value"),
    "in the future": ({"ts": "99999999999.0", "user": "U1"}, "event_timestamp lies in the future"),
    "before 2000": ({"ts": "1.0", "user": "U1"}, "event_timestamp lies before 2000-01-01"),
    "a garbled reaction": ({"ts": f"{T0}.0", "user": "U1", "reactions": [{"users": [3]}]}, "a reaction's user is no string"),
    "text in another shape": ({"ts": f"{T0}.0", "user": "U1", "text": {}}, "text is no string"),
}  # fmt: skip


@pytest.mark.parametrize(("element", "reason"), BAD.values(), ids=BAD)
def test_a_bad_message_goes_to_quarantine(export: Path, write_json: Write, element: Any, reason: str) -> None:
    write_json("general/2024-01-03.json", [{"ts": f"{T0 + 99}.5", "user": "U1"}, element])
    report = ingest(export, "slack-export", "acme", as_of=AS_OF, threshold=0.5)
    assert report.reasons == {reason: 1}
    (row,) = pq.read_table(report.quarantine_path).to_pylist()
    assert (row["table"], row["day"], row["line"]) == ("messages", date(2024, 1, 3), 2)


def test_a_folder_in_no_list_goes_to_quarantine(export: Path, write_json: Write) -> None:
    write_json("ghosts/2024-01-01.json", [{"ts": f"{T0}.0", "user": "U1", "text": "<@U2>"}])
    report = ingest(export, "slack-export", "acme", as_of=AS_OF, threshold=0.5)
    assert report.reasons == {"channel_id is in no list": 2}  # the message and its mention


def test_a_day_that_is_no_array_goes_to_quarantine(export: Path, write_json: Write) -> None:
    write_json("general/2024-01-03.json", {"messages": "none"})
    report = ingest(export, "slack-export", "acme", as_of=AS_OF, threshold=0.5)
    assert report.reasons == {"the file holds no array of records": 1}


def _cut_day(export: Path) -> Path:
    path = export / "general/2024-01-02.json"
    path.write_text(path.read_text()[:-15])
    return export


def _no_users(export: Path) -> Path:
    (export / "users.json").unlink()
    return export


def _users_are_an_object(export: Path) -> Path:
    (export / "users.json").write_text("{}")
    return export


def _cut_zip(export: Path) -> Path:
    path = Path(shutil.make_archive(str(export.parent / "cut"), "zip", export))
    path.write_bytes(path.read_bytes()[:-40])
    return path


def _damaged_member(export: Path) -> Path:
    path = export.parent / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, so that a flipped byte only breaks the checksum
        for file in export.rglob("*.json"):
            archive.write(file, file.relative_to(export))
    path.write_bytes(path.read_bytes().replace(b"edited", b"edikes"))
    return path


def _empty(export: Path) -> Path:
    shutil.rmtree(export)
    export.mkdir()
    return export


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_cut_day, "the file of channel C1, day 2024-01-02, is cut off or damaged"),
        (_no_users, r"the export has no users\.json"),
        (_users_are_an_object, r"users\.json is no JSON array"),
        (_cut_zip, "is not a whole zip file"),
        (_damaged_member, "the file of channel C1, day 2024-01-0[12], is cut off or damaged"),
        (_empty, "holds no JSON file"),
    ],
)
def test_a_bad_file_is_one_clear_line_and_nothing_is_published(
    export: Path, damage: Callable[[Path], Path], complaint: str
) -> None:
    with pytest.raises(RecommendError, match=complaint) as caught:
        ingest(damage(export), "slack-export", "acme", as_of=AS_OF)
    assert "\n" not in str(caught.value)
    assert not events_path().exists()
    assert not quarantine_path().exists()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", (0, 0, 0, 0, (), ())),
        ("<@W1> <@W1> <@U2|b>", (19, 0, 0, 0, (("W1", False), ("U2", False)), ())),
        ("&gt; a\n&gt; b\nc\n&gt; d", (22, 0, 2, 0, (), ())),
        ("``` a ``` b ```c", (16, 2, 0, 0, (), ())),
        ("<!channel> <!subteam^S1>", (24, 0, 0, 0, (), ())),
        ("<#C1> <#C1|x> <#G2>", (19, 0, 0, 0, (), ("C1", "G2"))),
        ("<http://a> <https://b|c> <mailto:d@e>", (37, 0, 0, 3, (), ())),
    ],
)
def test_text_facts(text: str, facts: tuple[Any, ...]) -> None:
    found = analyse(text)
    assert (
        found.characters,
        found.code_blocks,
        found.quotes,
        found.links,
        found.mentions,
        found.channels,
    ) == facts


def test_time_stamps_are_exact_to_the_microsecond() -> None:
    assert microseconds("1355517523.000005") == 1355517523000005
    assert microseconds("1355517523.5") == 1355517523500000
    assert microseconds(None) is None
    with pytest.raises(BadRow):
        microseconds("1e9")
