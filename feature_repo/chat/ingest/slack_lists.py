"""The lists at the root of a Slack export: users and conversations."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from feature_repo.chat.events import CHANNELS, DM, GROUP_DM, MEMBERSHIPS, PRIVATE, PUBLIC, USERS
from feature_repo.chat.ingest.export_files import ExportFiles
from feature_repo.chat.ingest.json_stream import as_object, elements, list_of, number_of, text_of
from feature_repo.chat.ingest.slack_message import EARLIEST_MICROSECONDS, Channel
from feature_repo.errors import RecommendError
from feature_repo.ingest import BadRow, Row, Where

_SLACKBOT = "USLACKBOT"
_CHANNEL_LISTS = {"channels.json": PUBLIC, "groups.json": PRIVATE, "mpims.json": GROUP_DM, "dms.json": DM}

OWNER, ADMIN, MEMBER, GUEST = 100, 200, 400, 600
"""Role codes: Slack has flags instead, these are Zulip's numbers for the same."""


@dataclass
class Lists:
    """What the root lists say.

    Args:
        rows: Their rows, bad ones too: users first, then channels.
        channels: Every conversation, by the name of its folder.
        bot_users: User id of a bot, by its bot id.
        bots: User ids of all listed bots.
    """

    rows: list[Row] = field(default_factory=list)
    channels: dict[str, Channel] = field(default_factory=dict)
    bot_users: dict[str, str] = field(default_factory=dict)
    bots: set[str] = field(default_factory=set)


def read_lists(files: ExportFiles) -> Lists:
    """Read ``users.json`` and ``channels.json``, and ``groups.json``, ``mpims.json``, ``dms.json`` where they are.

    Raises:
        RecommendError: one of the first two is missing, or one of them is cut off or no list.
    """
    lists = Lists()
    for element, where in _list(files, "users.json", required=True):
        try:
            _add_user(lists, as_object(element), where)
        except BadRow as bad:
            lists.rows.append(Row(USERS, where, reason=str(bad)))
    for name, kind in _CHANNEL_LISTS.items():
        for element, where in _list(files, name, required=name == "channels.json"):
            try:
                _add_channel(lists, as_object(element), kind, where)
            except BadRow as bad:
                lists.rows.append(Row(CHANNELS, where, reason=str(bad)))
    return lists


def initial_members(channel: Channel, first_records: dict[str, bool], where: Where) -> Iterator[Row]:
    """Who was in a channel from its creation: members of whom no joining is recorded, or first a leaving.

    Args:
        channel: The channel.
        first_records: By user, whether the first record of them in this channel is a joining.
        where: The channel's place in its list.
    """
    silent = [user for user in channel.members if user not in first_records]
    leavers = [user for user, joined in first_records.items() if not joined]
    for user in (*silent, *leavers):
        values = {
            "event_timestamp": channel.created,
            "user_id": user,
            "channel_id": channel.id,
            "joined": True,
        }
        yield Row(MEMBERSHIPS, where, values)


def _list(files: ExportFiles, name: str, *, required: bool) -> Iterator[tuple[Any, Where]]:
    if name not in files.names:
        if required:
            raise RecommendError(
                f"the export has no {name} at its root: give the path of a whole Slack export"
            )
        return
    try:
        for line, element in enumerate(elements(partial(files.open, name), name), start=1):
            yield element, Where(files.position[name], line)
    except BadRow:
        raise RecommendError(f"{name} is no JSON array: give a Slack export as Slack wrote it") from None


def _add_user(lists: Lists, user: dict[str, Any], where: Where) -> None:
    """Two rows: there from the start, and the state (deactivated, role) as of the profile's last change."""
    identifier = text_of(user, "id")
    is_bot = user.get("is_bot") is True or identifier == _SLACKBOT
    offset = number_of(user, "tz_offset")
    if offset is not None and abs(offset) > 24 * 3600:
        raise BadRow("tz_offset is more than a day")
    base = {
        "user_id": identifier,
        "is_bot": is_bot,
        "utc_offset_minutes": None if offset is None else offset // 60,
    }
    profile, updated = user.get("profile"), _created(user, "updated")
    lists.rows.append(
        Row(USERS, where, base | {"event_timestamp": EARLIEST_MICROSECONDS, "is_deleted": False})
    )
    if updated:
        state = {"event_timestamp": updated, "is_deleted": user.get("deleted") is True, "role": _role(user)}
        lists.rows.append(Row(USERS, where, base | state))
    if is_bot and identifier is not None:
        lists.bots.add(identifier)
        if isinstance(profile, dict) and isinstance(bot := profile.get("bot_id"), str):
            lists.bot_users[bot] = identifier


def _add_channel(lists: Lists, record: dict[str, Any], kind: int, where: Where) -> None:
    if not (identifier := text_of(record, "id")):
        raise BadRow("channel_id has no value")
    members = list_of(record, "members")
    if not all(isinstance(m, str) for m in members):
        raise BadRow("a member is no string")
    channel = Channel(
        id=identifier,
        kind=PRIVATE if kind == PUBLIC and record.get("is_private") is True else kind,
        created=_created(record, "created"),
        creator=text_of(record, "creator") or None,
        archived=record.get("is_archived") is True,
        members=tuple(members),
    )
    values = {
        "event_timestamp": channel.created,
        "channel_id": identifier,
        "creator_id": channel.creator,
        "kind": channel.kind,
        "is_archived": False,
    }
    lists.rows.append(Row(CHANNELS, where, values))
    lists.channels[text_of(record, "name") or channel.id] = channel


def _created(record: dict[str, Any], name: str) -> int | None:
    """An instant that a list gives in whole seconds; 0 stands for none."""
    seconds = number_of(record, name)
    if seconds is not None and not 0 <= seconds < 10**11:
        raise BadRow(f"{name} is no time stamp")
    return seconds * 1_000_000 if seconds else None


def _role(user: dict[str, Any]) -> int:
    if user.get("is_owner") is True:
        return OWNER
    if user.get("is_admin") is True:
        return ADMIN
    return GUEST if user.get("is_restricted") is True or user.get("is_ultra_restricted") is True else MEMBER
