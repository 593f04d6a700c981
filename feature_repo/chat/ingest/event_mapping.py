"""Which columns of an *events* export our columns are read from: a declaration, and its TOML form.

An export may bring its own as ``mapping.toml`` in its folder; it replaces ours column by column::

    [messages]
    event_timestamp = "sent_at"                                   # the name of a column,
    user_id = ["author", "sender"]                                # or several: the first that a file has
    attachments = { flag = "has_file" }                           # true or false, counted as 1 or 0
    thread_id = { columns = "topic", within = "channel_id" }      # unique only within its channel

    [channels]
    kind = { default = 0 }                                        # what no column or an empty cell stands for
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from feature_repo.chat.events import EVENT_TABLES, PUBLIC
from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.events import EventTable

Default = bool | int | str | datetime


@dataclass(frozen=True)
class Source:
    """Where the values of one of our columns come from.

    Args:
        columns: Source columns; the first that a file has is read.
        flag: Booleans that are read, counted as 1 or 0, where a file has none of ``columns``.
        within: Our id column that the values are unique in, such as a topic in its channel.
        default: What an absent column or an empty cell stands for; None: it has no value.
    """

    columns: tuple[str, ...] = ()
    flag: tuple[str, ...] = ()
    within: str | None = None
    default: Default | None = None


EventMapping = Mapping[str, Mapping[str, Source]]

_TIME = Source(("event_timestamp", "ts", "created"))
_MESSAGE = Source(("message_id", "msg_id"))
_AUTHOR = Source(("user_id", "from_user"))

DECLARED: EventMapping = {
    "users": {
        "event_timestamp": Source(_TIME.columns, default=EARLIEST),
        "is_bot": Source(("is_bot",), default=False),
    },
    "channels": {
        "event_timestamp": _TIME,
        "kind": Source(("kind",), default=PUBLIC),
    },
    "messages": {
        "event_timestamp": _TIME,
        "message_id": _MESSAGE,
        "thread_id": Source(("thread_id", "topic_id"), within="channel_id"),
        "characters": Source(("characters", "n_chars")),
        "code_blocks": Source(("code_blocks", "n_code")),
        "quotes": Source(("quotes", "n_quote")),
        "links": Source(("links", "n_links")),
        "mentions": Source(("mentions", "n_mentions")),
        "attachments": Source(("attachments",), flag=("has_image",)),
    },
    "mentions": {
        "event_timestamp": _TIME,
        "message_id": _MESSAGE,
        "user_id": _AUTHOR,
        "mentioned_user_id": Source(("mentioned_user_id", "to_user")),
        "is_quote": Source(("is_quote",), default=False),
    },
    "channel_links": {
        "event_timestamp": _TIME,
        "message_id": _MESSAGE,
        "user_id": _AUTHOR,
        "channel_id": Source(("channel_id", "in_channel")),
        "linked_channel_id": Source(("linked_channel_id", "to_channel")),
    },
    "reactions": {
        "event_timestamp": _TIME,
        "message_id": _MESSAGE,
        "count": Source(("count",), default=1),
    },
    "memberships": {
        "event_timestamp": _TIME,
        "joined": Source(("joined",), default=True),
    },
}
"""By table and column. A column that is absent here is read from the column of its own name."""


def source_of(mapping: EventMapping, table: EventTable, column: str) -> Source:
    """Where one of a table's columns is read from."""
    return mapping.get(table.name, {}).get(column, Source((column,)))


def mapping_for(folder: Path) -> EventMapping:
    """The declared mapping, with what the export's ``mapping.toml`` says in its place.

    Raises:
        RecommendError: the file is no TOML, or names a table, column or key that there is not.
    """
    path = folder / "mapping.toml"
    if not path.exists():
        return DECLARED
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecommendError(f"{path} is no TOML: {error}") from None
    tables = {t.name: t for t in EVENT_TABLES}
    merged = {name: dict(columns) for name, columns in DECLARED.items()}
    for name, columns in own.items():
        if name not in tables or not isinstance(columns, dict):
            raise RecommendError(f"{path}: [{name}] is no event table; there are {', '.join(tables)}")
        for column, entry in columns.items():
            merged.setdefault(name, {})[column] = _source(entry, tables[name], column, path)
    return merged


def _source(entry: Any, table: EventTable, column: str, path: Path) -> Source:
    place = f"{path}: {table.name}.{column}"
    known = [name for name in table.schema.names if name != "workspace_id"]
    if column not in known:
        raise RecommendError(f"{place} is no column of ours; {table.name} has {', '.join(known)}")
    spec = entry if isinstance(entry, dict) else {"columns": entry}
    if unknown := set(spec) - {"columns", "flag", "within", "default"}:
        raise RecommendError(
            f"{place} has {', '.join(sorted(unknown))}: give columns, flag, within or default"
        )
    within, default = spec.get("within"), spec.get("default")
    if within is not None and within not in known:
        raise RecommendError(f"{place}: within is to be a column of {table.name}: {', '.join(known)}")
    if default is not None and not isinstance(default, Default):
        raise RecommendError(f"{place}: default is to be true, false, a whole number, a string or an instant")
    return Source(
        _names(spec.get("columns", []), place), _names(spec.get("flag", []), place), within, default
    )


def _names(value: Any, place: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise RecommendError(f"{place} is to be the name of a column, or a list of names")
    return tuple(names)
