"""One message of a Slack export becomes rows. https://api.slack.com/events/message lists the subtypes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_repo.chat.events import (
    CHANNEL_LINKS,
    CHANNELS,
    MEMBERSHIPS,
    MENTIONS,
    MESSAGES,
    REACTIONS,
    USERS,
)
from feature_repo.chat.ingest.ids import scoped
from feature_repo.chat.ingest.json_stream import as_object, list_of, text_of
from feature_repo.chat.ingest.slack_text import Text, analyse
from feature_repo.clock import EARLIEST
from feature_repo.ingest import BadRow, Row, Where

EARLIEST_MICROSECONDS = int(EARLIEST.timestamp()) * 1_000_000

_WRITTEN = frozenset({None, "bot_message", "me_message", "thread_broadcast", "file_share"})
_JOINED = frozenset({"channel_join", "group_join"})
_LEFT = frozenset({"channel_leave", "group_leave"})
_ARCHIVED = frozenset({"channel_archive", "group_archive"})
_UNARCHIVED = frozenset({"channel_unarchive", "group_unarchive"})
_STAMP = re.compile(r"(\d{1,11})(?:\.(\d{1,6}))?")


@dataclass(frozen=True)
class Channel:
    """A conversation as the export lists it.

    Args:
        id: Slack's id.
        kind: As in ``chat.events``.
        created: Microseconds since 1970 UTC; None where the list does not say.
        creator: Who created it.
        archived: Whether the list calls it archived. When that happened it does not say.
        members: Who is in it as of the export.
    """

    id: str
    kind: int
    created: int | None
    creator: str | None
    archived: bool
    members: tuple[str, ...]


@dataclass
class Roster:
    """Who is who among bots, as far as the export was read.

    Args:
        bot_users: User id of a bot, by its bot id.
        known: Bots that have a row in ``users`` already.
    """

    bot_users: Mapping[str, str]
    known: set[str] = field(default_factory=set)


def microseconds(stamp: str | None) -> int | None:
    """A Slack time stamp (``seconds.microseconds``, a string to the letter) as int.

    Raises:
        BadRow: it is none.
    """
    if stamp is None:
        return None
    match = _STAMP.fullmatch(stamp)
    if match is None:
        raise BadRow("ts is no time stamp")
    return int(match[1]) * 1_000_000 + int((match[2] or "").ljust(6, "0"))


def rows_of(element: Any, channel: Channel, roster: Roster, where: Where) -> list[Row]:
    """Every row that one element of a day's file gives; none for a record that is no event.

    An edit counts as the message that it changed: a second sighting, whose first one stays.

    Raises:
        BadRow: the element cannot be read.
    """
    message = as_object(element)
    subtype = text_of(message, "subtype")
    if message.get("type", "message") != "message":
        return []
    if subtype == "message_changed":
        message = as_object(message.get("message"))
        subtype = text_of(message, "subtype")
    instant = microseconds(text_of(message, "ts"))
    if subtype in _WRITTEN:
        return _written(message, instant, channel, roster, where)
    base: dict[str, Any] = {"event_timestamp": instant, "channel_id": channel.id}
    if subtype in _JOINED | _LEFT:
        user, inviter = text_of(message, "user"), text_of(message, "inviter")
        membership = {"user_id": user, "joined": subtype in _JOINED, "inviter_id": inviter}
        return [Row(MEMBERSHIPS, where, base | membership)]
    if subtype in _ARCHIVED | _UNARCHIVED:
        state = {"creator_id": channel.creator, "kind": channel.kind, "is_archived": subtype in _ARCHIVED}
        return [Row(CHANNELS, where, base | state)]
    return []


def _written(
    message: dict[str, Any], instant: int | None, channel: Channel, roster: Roster, where: Where
) -> list[Row]:
    stamp, thread = text_of(message, "ts"), text_of(message, "thread_ts")
    author, bot_row = _author(message, roster, where)
    text = analyse(text_of(message, "text") or "")
    base = {
        "event_timestamp": instant,
        "message_id": scoped(channel.id, stamp),
        "user_id": author,
        "channel_id": channel.id,
    }
    reactions = _reactions(message)
    rows = [*bot_row, Row(MESSAGES, where, base | _counts(message, text, scoped(channel.id, thread)))]
    rows += [Row(MENTIONS, where, base | {"mentioned_user_id": u, "is_quote": q}) for u, q in text.mentions]
    rows += [Row(CHANNEL_LINKS, where, base | {"linked_channel_id": c}) for c in text.channels]
    rows += [
        Row(REACTIONS, where, base | {"user_id": user, "author_id": author, "count": count})
        for user, count in reactions.items()
    ]
    return rows


def _counts(message: dict[str, Any], text: Text, thread: str | None) -> dict[str, Any]:
    images = [a for a in list_of(message, "attachments") if isinstance(a, dict) and "image_url" in a]
    return {
        "thread_id": thread,
        "characters": text.characters,
        "code_blocks": text.code_blocks,
        "quotes": text.quotes,
        "links": text.links,
        "mentions": len(text.mentions),
        "attachments": len(list_of(message, "files")) + len(images),
    }


def _author(message: dict[str, Any], roster: Roster, where: Where) -> tuple[str | None, list[Row]]:
    """The author's raw id; and, for a bot that no list names, its row in ``users``."""
    user, bot = text_of(message, "user"), text_of(message, "bot_id")
    author = user or (None if bot is None else roster.bot_users.get(bot, bot))
    if author is None or bot is None or author in roster.known:
        return author, []
    roster.known.add(author)
    return author, [
        Row(USERS, where, {"event_timestamp": EARLIEST_MICROSECONDS, "user_id": author, "is_bot": True})
    ]


def _reactions(message: dict[str, Any]) -> dict[str, int]:
    """How many different reactions each user gave. Slack records no time for them: they count as the message's."""
    users: dict[str, int] = {}
    for element in list_of(message, "reactions"):
        for user in list_of(as_object(element), "users"):
            if not isinstance(user, str):
                raise BadRow("a reaction's user is no string")
            users[user] = users.get(user, 0) + 1
    return users
