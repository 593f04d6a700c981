"""The format *slack-export*: what Slack's own export writes, as a zip file or unpacked.

https://slack.com/help/articles/220556107 describes it: lists of users and conversations at the root, and per
conversation a folder, named as it is (a direct message: by its id), with one JSON array of messages a day.

What the export does not date gets the earliest instant that it can have been known at: members without a
recorded joining are members since the channel's creation; a channel that is archived without a record of it
is archived as of the microsecond after its last message (or, without any, after its creation).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path

from feature_repo.chat.events import CHANNELS, MEMBERSHIPS, MESSAGES, PUBLIC
from feature_repo.chat.ingest.export_files import ExportFiles, export_files, root_of
from feature_repo.chat.ingest.json_stream import elements
from feature_repo.chat.ingest.slack_lists import Lists, initial_members, read_lists
from feature_repo.chat.ingest.slack_message import Channel, Roster, rows_of
from feature_repo.ingest import BadRow, Batch, Row, Skipped, Where, batches

_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\.json")


def read(path: Path) -> Iterator[Batch]:
    """Batches of an export's rows: the lists, then conversation by conversation, each in the order of time.

    Raises:
        RecommendError: a list is missing, or a file is cut off or damaged.
    """
    with export_files(path) as found:
        yield from batches(_events(root_of(found, "channels.json")))


@dataclass(frozen=True)
class _Day:
    """One file: the messages of one conversation on one day."""

    name: str
    folder: str
    day: date
    position: int


@dataclass
class _Conversation:
    """What its messages have told so far."""

    channel: Channel
    listed: bool
    first_records: dict[str, bool] = field(default_factory=dict)
    archived: bool | None = None
    last: int | None = None

    def note(self, row: Row) -> None:
        values = row.values
        if row.table == MEMBERSHIPS and values["user_id"]:
            self.first_records.setdefault(values["user_id"], values["joined"])
        elif row.table == CHANNELS:
            self.archived = values["is_archived"]
        elif row.table == MESSAGES and values.get("event_timestamp"):
            self.last = max(values["event_timestamp"], self.last or 0)

    def undated(self, where: Where) -> Iterator[Row]:
        """Rows for what the lists say and no message dates."""
        channel, last = self.channel, self.last or self.channel.created
        yield from initial_members(channel, self.first_records, where)
        if channel.archived and not self.archived:
            values = {
                "event_timestamp": None if last is None else last + 1,
                "channel_id": channel.id,
                "creator_id": channel.creator,
                "kind": channel.kind,
                "is_archived": True,
            }
            yield Row(CHANNELS, where, values)


def _events(files: ExportFiles) -> Iterator[tuple[Row | Skipped, float]]:
    lists = read_lists(files)
    for row in lists.rows:
        yield row, 0.0
    roster = Roster(lists.bot_users, set(lists.bots))
    days = _days(files)
    places = {r.values["channel_id"]: r.where for r in lists.rows if r.table == CHANNELS and not r.reason}
    silent = dict(lists.channels)
    read = 0
    for folder, in_folder in groupby(days, key=lambda d: d.folder):
        silent.pop(folder, None)
        conversation = _conversation(lists, folder)
        for day in in_folder:
            read += 1
            for event in _messages(files, day, conversation, roster):
                yield event, read / len(days)
        if conversation.listed:
            for row in conversation.undated(places[conversation.channel.id]):
                yield row, read / len(days)
    for channel in silent.values():
        for row in _Conversation(channel, True).undated(places[channel.id]):
            yield row, 1.0


def _messages(
    files: ExportFiles, day: _Day, conversation: _Conversation, roster: Roster
) -> Iterator[Row | Skipped]:
    place = f"channel {conversation.channel.id}" if conversation.listed else f"JSON file {day.position}"
    label = f"the file of {place}, day {day.day},"
    try:
        for line, element in enumerate(elements(partial(files.open, day.name), label), start=1):
            where = Where(day.position, line, day.day)
            try:
                rows = rows_of(element, conversation.channel, roster, where)
            except BadRow as bad:
                yield Row(MESSAGES, where, reason=str(bad))
                continue
            for row in rows:
                conversation.note(row)
            yield from rows or (Skipped(),)
    except BadRow as bad:
        yield Row(MESSAGES, Where(day.position, 0, day.day), reason=str(bad))


def _conversation(lists: Lists, folder: str) -> _Conversation:
    """The folder's conversation. One that is in no list keeps its folder's name as id: no list has it either,
    so that its rows go to quarantine and the name nowhere."""
    channel = lists.channels.get(folder)
    return _Conversation(
        channel or Channel(folder, PUBLIC, None, None, False, ()), listed=channel is not None
    )


def _days(files: ExportFiles) -> list[_Day]:
    days = []
    for name in files.names:
        folder, _, file = name.rpartition("/")
        if folder and _DAY.fullmatch(file):
            days.append(
                _Day(name, folder, date.fromisoformat(file.removesuffix(".json")), files.position[name])
            )
    return sorted(days, key=lambda d: (d.folder, d.day))
