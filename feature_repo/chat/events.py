"""The event tables of a chat workspace. Metadata only: no name, no text, only lengths and counts."""

import pyarrow as pa

from feature_repo.events import ID, Column, EventTable

PUBLIC, PRIVATE, GROUP_DM, DM = 0, 1, 2, 3
"""The kinds of channel."""

USERS = EventTable(
    name="users",
    columns=(
        Column("user_id", ID, "who", identity="user"),
        Column("is_bot", pa.bool_(), "a program, neither asked nor recommended"),
        Column("is_deleted", pa.bool_(), "deactivated as of the row's instant", optional=True),
        Column("role", pa.int16(), "the export's own role code", optional=True),
        Column("utc_offset_minutes", pa.int16(), "the profile's time zone", optional=True),
    ),
    key=("user_id", "event_timestamp"),
    optional=False,
)

CHANNELS = EventTable(
    name="channels",
    columns=(
        Column("channel_id", ID, "which", identity="channel"),
        Column("creator_id", ID, "who created it", optional=True, identity="user"),
        Column("kind", pa.int8(), "0 public, 1 private, 2 group message, 3 direct message"),
        Column("is_archived", pa.bool_(), "archived as of the row's instant", optional=True),
    ),
    key=("channel_id", "event_timestamp"),
    optional=False,
)

MESSAGES = EventTable(
    name="messages",
    columns=(
        Column("message_id", ID, "keyed hash of the export's message id"),
        Column("user_id", ID, "the author", identity="user"),
        Column("channel_id", ID, "where", identity="channel"),
        Column("thread_id", ID, "keyed hash of the thread or topic", optional=True),
        Column("characters", pa.int32(), "length of the text", optional=True),
        Column("code_blocks", pa.int16(), "count", optional=True),
        Column("quotes", pa.int16(), "count", optional=True),
        Column("links", pa.int16(), "count", optional=True),
        Column("mentions", pa.int16(), "count", optional=True),
        Column("attachments", pa.int16(), "files or images, count", optional=True),
    ),
    key=("message_id",),
    optional=False,
)

MENTIONS = EventTable(
    name="mentions",
    columns=(
        Column("message_id", ID, "the message that mentions"),
        Column("user_id", ID, "its author", identity="user"),
        Column("channel_id", ID, "where", identity="channel"),
        Column("mentioned_user_id", ID, "who is mentioned", identity="user"),
        Column("is_quote", pa.bool_(), "a quotation, not an address"),
    ),
    key=("message_id", "mentioned_user_id", "is_quote"),
)

CHANNEL_LINKS = EventTable(
    name="channel_links",
    columns=(
        Column("message_id", ID, "the message that links"),
        Column("user_id", ID, "its author", identity="user"),
        Column("channel_id", ID, "where", identity="channel"),
        Column("linked_channel_id", ID, "the channel linked to", identity="channel"),
    ),
    key=("message_id", "linked_channel_id"),
)

REACTIONS = EventTable(
    name="reactions",
    columns=(
        Column("message_id", ID, "the message reacted to"),
        Column("user_id", ID, "who reacted", identity="user"),
        Column("channel_id", ID, "where", identity="channel"),
        Column("author_id", ID, "the author of the message", identity="user"),
        Column("count", pa.int16(), "how many different reactions by this user"),
    ),
    key=("message_id", "user_id"),
)

MEMBERSHIPS = EventTable(
    name="memberships",
    columns=(
        Column("user_id", ID, "who", identity="user"),
        Column("channel_id", ID, "which channel", identity="channel"),
        Column("joined", pa.bool_(), "true: joined; false: left"),
        Column("inviter_id", ID, "who added them", optional=True, identity="user"),
    ),
    key=("user_id", "channel_id", "event_timestamp", "joined"),
)

EVENT_TABLES = (USERS, CHANNELS, MESSAGES, MENTIONS, CHANNEL_LINKS, REACTIONS, MEMBERSHIPS)
