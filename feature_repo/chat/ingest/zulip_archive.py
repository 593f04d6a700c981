"""The format *zulip-archive*: what https://github.com/zulip/zulip-archive writes.

A folder per stream, ``<stream id>-<name>``, in it a JSON file per topic: an array of messages (or an object
with ``messages``) as in https://zulip.com/api/get-messages. The tool keeps four fields of a message: ``id``,
``timestamp`` (seconds), ``content`` (HTML) and ``sender_full_name``; where ``sender_id`` is there as well,
it is the identity, otherwise the name is, and a mention counts for the name that it shows.

An archive records no joining and no creation: a stream is as old as its first message, and only what is
written tells who is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from feature_repo.chat.events import CHANNEL_LINKS, CHANNELS, MENTIONS, MESSAGES, PUBLIC, REACTIONS, USERS
from feature_repo.chat.ingest.export_files import ExportFiles, export_files
from feature_repo.chat.ingest.ids import scoped
from feature_repo.chat.ingest.json_stream import as_object, elements, list_of, number_of, text_of
from feature_repo.chat.ingest.zulip_html import Content
from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.ingest import BadRow, Batch, Row, Skipped, Where, batches

_EARLIEST = int(EARLIEST.timestamp()) * 1_000_000


def read(path: Path) -> Iterator[Batch]:
    """Batches of an archive's rows: first the streams, then the messages in the order of file names.

    Raises:
        RecommendError: no stream's folder is there, or a file is cut off or damaged.
    """
    with export_files(path) as files:
        yield from batches(_events(path, files))


@dataclass(frozen=True)
class _Topic:
    """One file: the messages of one topic."""

    name: str
    stream: str
    topic: str
    position: int

    @property
    def label(self) -> str:
        return f"file {self.position} of the archive (its JSON files in the order of their names)"


@dataclass
class _Reader:
    files: ExportFiles
    seen: set[str] = field(default_factory=set)

    def messages(self, topic: _Topic) -> Iterator[Any]:
        return elements(partial(self.files.open, topic.name), topic.label, within="messages")

    def rows(self, topic: _Topic) -> Iterator[Row]:
        """Every row that the messages of one file give; a message that cannot be read is one bad row."""
        line = 0
        try:
            for line, element in enumerate(self.messages(topic), start=1):
                where = Where(topic.position, line)
                try:
                    yield from self._message(as_object(element), topic, where)
                except BadRow as bad:
                    yield Row(MESSAGES, where, reason=str(bad))
        except BadRow as bad:
            yield Row(MESSAGES, Where(topic.position, 0), reason=str(bad))

    def first_instant(self, topic: _Topic) -> int | None:
        """When the topic's first readable message was written; a file is in the order of time."""
        try:
            for element in self.messages(topic):
                if isinstance(element, dict) and isinstance(seconds := element.get("timestamp"), int):
                    return max(seconds * 1_000_000, _EARLIEST)
        except BadRow:
            return None  # `rows` reports it
        return None

    def _message(self, message: dict[str, Any], topic: _Topic, where: Where) -> list[Row]:
        author, named = _author(message)
        identifier = number_of(message, "id")
        content = Content(text_of(message, "content") or "")
        seconds = number_of(message, "timestamp")
        base = {
            "event_timestamp": None if seconds is None else seconds * 1_000_000,
            "message_id": None if identifier is None else str(identifier),
            "user_id": author,
            "channel_id": topic.stream,
        }
        mentions = {(m.name if named else m.user_id, m.is_quote) for m in content.mentions}
        counts = {
            "thread_id": scoped(topic.stream, topic.topic),
            "characters": content.characters,
            "code_blocks": content.code_blocks,
            "quotes": content.quotes,
            "links": content.links,
            "mentions": len(mentions),
            "attachments": content.attachments,
        }
        rows = [] if author is None else self._user(author, message, where)
        rows.append(Row(MESSAGES, where, base | counts))
        rows += [
            Row(MENTIONS, where, base | {"mentioned_user_id": u, "is_quote": q}) for u, q in sorted(mentions)
        ]
        rows += [Row(CHANNEL_LINKS, where, base | {"linked_channel_id": s}) for s in content.stream_links]
        rows += [
            Row(REACTIONS, where, base | {"user_id": user, "author_id": author, "count": count})
            for user, count in ({} if named else _reactions(message)).items()
        ]
        return rows

    def _user(self, author: str, message: dict[str, Any], where: Where) -> list[Row]:
        if author in self.seen:
            return []
        self.seen.add(author)
        email = text_of(message, "sender_email") or ""
        is_bot = email.partition("@")[0].endswith("-bot")
        return [Row(USERS, where, {"event_timestamp": _EARLIEST, "user_id": author, "is_bot": is_bot})]


def _events(path: Path, files: ExportFiles) -> Iterator[tuple[Row | Skipped, float]]:
    topics = _topics(path, files)
    reader = _Reader(files)
    created: dict[str, int] = {}
    first_file: dict[str, int] = {}
    for topic in topics:
        first_file.setdefault(topic.stream, topic.position)
        if (instant := reader.first_instant(topic)) is not None:
            created[topic.stream] = min(instant, created.get(topic.stream, instant))
    for stream, position in first_file.items():
        values = {"event_timestamp": created.get(stream, _EARLIEST), "channel_id": stream, "kind": PUBLIC}
        yield Row(CHANNELS, Where(position, 0), values), 0.0
    for n, topic in enumerate(topics, start=1):
        for row in reader.rows(topic):
            yield row, n / len(topics)


def _topics(path: Path, files: ExportFiles) -> list[_Topic]:
    found = []
    for name in files.names:
        folder, _, file = name.rpartition("/")
        stream = folder.rpartition("/")[2].partition("-")[0]
        if stream.isdecimal():
            found.append(_Topic(name, stream, file.removesuffix(".json"), files.position[name]))
    if not found:
        raise RecommendError(
            f"{path} holds no folder named <stream id>-<name>: give the archive's zulip_json folder"
        )
    return found


def _author(message: dict[str, Any]) -> tuple[str | None, bool]:
    """The author's raw id, and whether it is a name."""
    if (sender := number_of(message, "sender_id")) is not None:
        return str(sender), False
    return text_of(message, "sender_full_name"), True


def _reactions(message: dict[str, Any]) -> dict[str, int]:
    """How many different reactions each user gave; they tell users by id only, so that an archive of names has none."""
    users: dict[str, int] = {}
    for element in list_of(message, "reactions"):
        user = number_of(as_object(element), "user_id")
        if user is not None:
            users[str(user)] = users.get(str(user), 0) + 1
    return users
