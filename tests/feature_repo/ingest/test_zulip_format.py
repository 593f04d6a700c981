"""The format *zulip-archive*, on a small planted archive."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from feature_repo.chat.ingest import ingest
from feature_repo.chat.ingest.zulip_html import Content, Mention
from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.home import events_path

Rows = list[dict[str, Any]]
Write = Callable[[str, Any], Path]
AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
T0 = 1704067200  # 2024-01-01T00:00:00Z

HTML = (
    '<p><span class="user-mention" data-user-id="7">@Bo Li</span> and '
    '<span class="user-mention silent" data-user-id="8">Cy</span> see '
    '<a class="stream-topic" data-stream-id="12" href="/#narrow">#b &gt; t</a> and <a href="https://x.y">z</a> '
    '<span class="user-mention" data-user-id="*">@all</span></p>'
    '<blockquote><p><span class="user-mention" data-user-id="7">@Bo Li</span></p></blockquote>'
    '<div class="codehilite"><pre><code>x</code></pre></div>'
    '<p><a href="/user_uploads/1/p.png">p.png</a></p><img src="/user_uploads/thumbnail/1/p.png">'
)


def by_name(n: int, name: str, content: str = "<p>hi</p>", after: int = 0) -> dict[str, Any]:
    """The four fields that the tool keeps."""
    return {"id": n, "sender_full_name": name, "timestamp": T0 + after, "content": content}


def by_id(n: int, sender: int, content: str = "<p>hi</p>", **values: Any) -> dict[str, Any]:
    return by_name(n, "somebody", content) | {"sender_id": sender} | values


def test_an_archive_of_names(write_json: Write, stored: Callable[[str], Rows]) -> None:
    write_json("stream_index.json", {"streams": {}, "time": 1.5})
    write_json("11-new-members/greetings.json", [by_name(2, "Al", after=20), by_name(3, "Bo Li", after=30)])
    write_json("11-new-members/rules.json", [by_name(1, "Al", HTML, after=10)])
    path = write_json("12-b/t.json", [by_name(4, "Cy", after=40)])
    report = ingest(path, "zulip-archive", "lean", as_of=AS_OF)
    assert {name: (c.read, c.kept) for name, c in report.counts.items()} == {
        "users": (3, 3),
        "channels": (2, 2),
        "messages": (4, 4),
        "mentions": (3, 3),
        "channel_links": (1, 1),
    }
    assert {(c["channel_id"], c["event_timestamp"].timestamp() - T0) for c in stored("channels")} == {
        ("11", 10.0),  # as old as its first message
        ("12", 40.0),
    }
    assert {(u["user_id"], u["event_timestamp"]) for u in stored("users")} == {
        (name, EARLIEST) for name in ("Al", "Bo Li", "Cy")
    }
    assert {(m["user_id"], m["mentioned_user_id"], m["is_quote"]) for m in stored("mentions")} == {
        ("Al", "Bo Li", False),
        ("Al", "Bo Li", True),
        ("Al", "Cy", True),
    }
    rules, greeting, answer, _ = stored("messages")
    assert greeting["thread_id"] == answer["thread_id"] != rules["thread_id"]
    counts = ("code_blocks", "quotes", "links", "mentions", "attachments")
    assert [rules[c] for c in counts] == [1, 1, 1, 3, 1]
    assert [row["linked_channel_id"] for row in stored("channel_links")] == ["12"]


def test_an_archive_with_ids(write_json: Write, stored: Callable[[str], Rows]) -> None:
    reactions = [
        {"emoji_name": "a", "user_id": 7},
        {"emoji_name": "b", "user_id": 7},
        {"emoji_name": "a", "user_id": 9},
    ]
    messages = [by_id(1, 5, HTML, reactions=reactions), by_id(2, 6, sender_email="build-bot@zulip.com")]
    write_json("12-b/t.json", [by_id(3, 5)])
    path = write_json("11-a/t.json", {"messages": messages})
    ingest(path, "zulip-archive", "lean", as_of=AS_OF)
    assert {(m["user_id"], m["mentioned_user_id"]) for m in stored("mentions")} == {("5", "7"), ("5", "8")}
    assert {(u["user_id"], u["is_bot"]) for u in stored("users")} == {("5", False), ("6", True)}
    assert {(r["user_id"], r["author_id"], r["count"]) for r in stored("reactions")} == {
        ("7", "5", 2),
        ("9", "5", 1),
    }


def test_the_same_archive_twice_adds_nothing_and_a_longer_one_what_is_new(write_json: Write) -> None:
    path = write_json("11-a/t.json", [by_name(1, "Al")])
    ingest(path, "zulip-archive", "lean", as_of=AS_OF)
    assert ingest(path, "zulip-archive", "lean", as_of=AS_OF).total.kept == 0
    write_json("11-a/t.json", [by_name(1, "Al"), by_name(2, "Al", after=1)])
    report = ingest(path, "zulip-archive", "lean", as_of=AS_OF)
    assert report.total.kept == report.counts["messages"].kept == 1


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("text", "the record is no JSON object"),
        (by_name(2, "Al") | {"timestamp": "noon"}, "timestamp is no whole number"),
        (by_name(2, "Al") | {"timestamp": None}, "event_timestamp has no value"),
        (by_name(2, "Al") | {"id": None}, "message_id has no value"),
        (by_name(2, "Al", after=10**9), "event_timestamp lies in the future"),
        (by_name(2, "Al", '<a class="stream" data-stream-id="99">#x</a>'), "linked_channel_id is in no list"),
        (by_id(2, True), "sender_id is no whole number"),
        ({"id": 2, "timestamp": T0, "content": ""}, "user_id has no value"),
    ],
)
def test_a_bad_message_goes_to_quarantine(write_json: Write, element: Any, reason: str) -> None:
    path = write_json("11-a/t.json", [by_name(1, "Al"), element])
    report = ingest(path, "zulip-archive", "lean", as_of=AS_OF, threshold=0.9)
    assert report.reasons == {reason: 1}
    (row,) = pq.read_table(report.quarantine_path).to_pylist()
    assert (row["file"], row["line"]) == (1, 2)


def test_a_topic_of_another_shape_goes_to_quarantine(write_json: Write) -> None:
    write_json("11-a/t.json", [by_name(1, "Al")])
    path = write_json("11-a/u.json", {"result": "error"})
    report = ingest(path, "zulip-archive", "lean", as_of=AS_OF, threshold=0.9)
    assert report.reasons == {"the file holds no array of records": 1}


def test_a_topic_that_is_cut_off_is_told_by_its_position_only(write_json: Write) -> None:
    write_json("11-a/first.json", [by_name(1, "Al")])
    path = write_json("11-a/second.json", '[{"id": 2, "sender_full_name": "Al"')
    with pytest.raises(RecommendError, match=r"file 2 of the archive .* is cut off or damaged") as caught:
        ingest(path, "zulip-archive", "lean", as_of=AS_OF)
    assert "second" not in str(caught.value)
    assert not events_path().exists()


def test_a_folder_without_streams_is_told(write_json: Write) -> None:
    path = write_json("general/t.json", [])
    with pytest.raises(RecommendError, match="holds no folder named <stream id>-<name>"):
        ingest(path, "zulip-archive", "lean", as_of=AS_OF)


def test_content_facts() -> None:
    content = Content(HTML)
    assert content.mentions == (
        Mention("7", "Bo Li", False),
        Mention("8", "Cy", True),
        Mention("7", "Bo Li", True),
    )
    assert content.stream_links == ("12",)
    assert Content("<p>four</p>").characters == 4
    assert Content("").characters == 0
