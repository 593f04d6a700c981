"""How a world's people, channels and stays come and go, as event tables of indices."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_repo.chat.events import CHANNELS, MEMBERSHIPS, USERS
from feature_repo.chat.sample.memberships import NOBODY
from feature_repo.chat.sample.rhythm import DAY, NEVER
from feature_repo.chat.sample.rows import Batch, Columns, event_rows, instant_of
from feature_repo.chat.sample.world import World


def days_of_structure(world: World) -> Iterator[Batch]:
    """Each day's arrivals and deactivations, channels founded and archived, joins and leaves."""
    tables = {"users": _users(world), "channels": _channels(world), "memberships": _memberships(world)}
    midnights = np.arange(world.setting.days + 1) * DAY + instant_of(world.setting.start)
    bounds = {name: np.searchsorted(_instants(table), midnights) for name, table in tables.items()}
    for day in range(world.setting.days):
        yield {
            name: table.slice(bounds[name][day], bounds[name][day + 1] - bounds[name][day])
            for name, table in tables.items()
        }


def _instants(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table["event_timestamp"].cast(pa.int64()), np.int64)


def _twice(
    begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Rows for every beginning, then for every end that comes: index, instant, and whether it is an end."""
    ending = np.flatnonzero(ends < NEVER)
    index = np.concatenate([np.arange(len(begins)), ending])
    is_end = np.repeat([False, True], [len(begins), len(ending)])
    return index, np.concatenate([begins, ends[ending]]), is_end


def _users(world: World) -> pa.Table:
    people = world.setting.population
    index, instant, is_end = _twice(people.arrival, people.departure)
    columns: Columns = {
        "user_id": index,
        "is_bot": people.is_bot[index],
        "is_deleted": is_end,
        "role": people.role[index],
        "utc_offset_minutes": people.utc_offset_minutes[index],
    }
    return event_rows(USERS, world.setting.start, instant, columns)


def _channels(world: World) -> pa.Table:
    channels = world.setting.channels
    index, instant, is_end = _twice(channels.birth, channels.death)
    columns: Columns = {
        "channel_id": index,
        "creator_id": channels.creator[index],
        "kind": channels.kind[index],
        "is_archived": is_end,
    }
    return event_rows(CHANNELS, world.setting.start, instant, columns)


def _memberships(world: World) -> pa.Table:
    stays = world.memberships
    index, instant, is_end = _twice(stays.joined, stays.left)
    columns: Columns = {
        "user_id": stays.user[index],
        "channel_id": stays.channel[index],
        "joined": ~is_end,
        "inviter_id": np.where(is_end, NOBODY, stays.inviter[index]),
    }
    return event_rows(MEMBERSHIPS, world.setting.start, instant, columns)
