"""A small random workspace: every kind of event, with the edges that a snapshot could get wrong planted in it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from feature_repo.chat.events import (
    CHANNEL_LINKS,
    CHANNELS,
    DM,
    EVENT_TABLES,
    GROUP_DM,
    MEMBERSHIPS,
    MENTIONS,
    MESSAGES,
    PRIVATE,
    PUBLIC,
    REACTIONS,
    USERS,
)
from feature_repo.clock import midnight
from tests.hand_made import Row, write_events

START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 130
EARLY, LATE = (START + timedelta(days=100)).date(), (START + timedelta(days=115)).date()
"""The days whose snapshots are tested; two weeks of events follow them."""

PEOPLE, BOTS, CHANNEL_KINDS = 30, 3, (PUBLIC,) * 7 + (PRIVATE,) * 2 + (GROUP_DM, DM, DM)
MICROSECOND = timedelta(microseconds=1)


@dataclass
class Workspace:
    """Event rows by table's name, as `tests.hand_made.write_events` takes them."""

    workspace_id: int
    rows: dict[str, list[Row]] = field(default_factory=lambda: {t.name: [] for t in EVENT_TABLES})

    @property
    def base(self) -> int:
        """Ids of this workspace are ``base + n``."""
        return self.workspace_id << 40

    def add(self, table: str, at: datetime, **values: object) -> None:
        """Plant one event."""
        self.rows[table].append({"workspace_id": self.workspace_id, "at": at, **values})

    def until(self, end: datetime) -> "Workspace":
        """The same without what happened at ``end`` or later."""
        kept = {name: [r for r in rows if r["at"] < end] for name, rows in self.rows.items()}
        return Workspace(self.workspace_id, kept)

    def write(self) -> None:
        """Write the event tables of the state folder in use."""
        for table in EVENT_TABLES:
            write_events(table, self.rows[table.name])


def random_workspace(workspace_id: int) -> Workspace:
    """The same workspace for the same id."""
    made, random = Workspace(workspace_id), Random(workspace_id)
    users = [made.base + n for n in range(1, PEOPLE + BOTS + 1)]
    channels = [made.base + 1000 + n for n in range(len(CHANNEL_KINDS))]
    _profiles(made, users)
    _channels(made, channels)
    _memberships(made, random, users, channels)
    _writing(made, random, users, channels)
    _at_the_boundary(made, users, channels)
    return made


def _profiles(made: Workspace, users: list[int]) -> None:
    """A bot from the start, one found out between the snapshots' windows, one after the last snapshot."""
    for user in users:
        made.add(USERS.name, START, user_id=user, is_bot=user == users[-1])
    made.add(USERS.name, midnight(EARLY) - timedelta(days=9), user_id=users[-2], is_bot=True)
    made.add(USERS.name, midnight(LATE) + timedelta(hours=5), user_id=users[-3], is_bot=True)


def _channels(made: Workspace, channels: list[int]) -> None:
    """One channel is archived for a while, one from `LATE` on; one is born late, and one after `LATE`."""
    births = {channels[3]: START + timedelta(days=7), channels[6]: midnight(LATE) + timedelta(hours=1)}
    for channel, kind in zip(channels, CHANNEL_KINDS, strict=True):
        born = births.get(channel, START)
        made.add(CHANNELS.name, born, channel_id=channel, kind=kind)
    for day, archived in ((EARLY - timedelta(days=3), True), (EARLY + timedelta(days=3), False)):
        made.add(CHANNELS.name, midnight(day), channel_id=channels[5], kind=PUBLIC, is_archived=archived)
    made.add(CHANNELS.name, midnight(LATE), channel_id=channels[4], kind=PUBLIC, is_archived=True)


def _memberships(made: Workspace, random: Random, users: list[int], channels: list[int]) -> None:
    for channel, kind in zip(channels, CHANNEL_KINDS, strict=True):
        if kind == DM:
            first = random.sample(users[:-1], 2)
        elif kind == GROUP_DM:
            first = random.sample(users[:-1], 4)
            made.add(MEMBERSHIPS.name, _instant(random), user_id=users[0], channel_id=channel, joined=True)
        else:
            first = random.sample(users, 8)
        for user in first:
            made.add(MEMBERSHIPS.name, START, user_id=user, channel_id=channel, joined=True)
    for _ in range(160):
        user, channel = random.choice(users), random.choice(channels[:9])
        made.add(
            MEMBERSHIPS.name,
            _instant(random),
            user_id=user,
            channel_id=channel,
            joined=random.random() < 0.6,
        )


def _writing(made: Workspace, random: Random, users: list[int], channels: list[int]) -> None:
    direct = {
        c: [r["user_id"] for r in made.rows[MEMBERSHIPS.name] if r["channel_id"] == c] for c in channels[9:]
    }
    busy = [1 / (n + 1) for n in range(len(users))]
    for n in range(900):
        channel = random.choices(channels, [5, 4, 3, 3, 2, 2, 1, 2, 1, 2, 2, 2])[0]
        author = random.choice(direct[channel]) if channel in direct else random.choices(users, busy)[0]
        thread = channel * 10 + random.randrange(6) if random.random() < 0.6 else None
        at = _instant(random)
        message = {"message_id": made.base + 10_000 + n, "user_id": author, "channel_id": channel}
        made.add(MESSAGES.name, at, thread_id=thread, **message)
        other = random.choice(users)
        if n % 3 == 0:
            quote = random.random() < 0.2
            made.add(MENTIONS.name, at, **message, mentioned_user_id=other, is_quote=quote)
        if n % 7 == 0:
            made.add(CHANNEL_LINKS.name, at, **message, linked_channel_id=random.choice(channels[:7]))
        if n % 4 == 0:
            later = at + timedelta(seconds=random.randrange(100_000))
            reacted = message | {"user_id": other, "author_id": author, "count": random.randrange(1, 4)}
            made.add(REACTIONS.name, later, **reacted)


def _at_the_boundary(made: Workspace, users: list[int], channels: list[int]) -> None:
    """Every kind of act in the last microsecond before each snapshot, and in its first instant."""
    instants = [midnight(d) - before for d in (EARLY, LATE) for before in (MICROSECOND, timedelta(0))]
    for n, at in enumerate(instants):
        user, other, channel = users[20 + n], users[10 + n], channels[n]
        message = {"message_id": made.base + 20_000 + n, "user_id": user, "channel_id": channel}
        made.add(MESSAGES.name, at, thread_id=channel * 10 + 1, **message)
        made.add(MENTIONS.name, at, **message, mentioned_user_id=other, is_quote=False)
        made.add(CHANNEL_LINKS.name, at, **message, linked_channel_id=channels[n + 1])
        made.add(REACTIONS.name, at, **message, author_id=other, count=2)
        for who, joined in ((users[n], True), (users[n + 4], False)):
            made.add(MEMBERSHIPS.name, at, user_id=who, channel_id=channels[n], joined=joined)


def _instant(random: Random) -> datetime:
    return START + timedelta(seconds=random.randrange(1, DAYS * 86_400))
