"""A small community in which features decide: run as a program, with RECOMMEND_HOME set, it leaves a state folder.

A process of its own: feature views take their tables' path from the environment when they are imported.

Every week everybody joins the channel that they like best of those that they are not in, and
``comembership`` tells how much they like it; the popular list and all other features tell nothing.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from feast import FeatureStore, FeatureView
from numpy.typing import NDArray

from feature_repo.catalog import feast_objects, feast_repo, recommender
from feature_repo.chat.events import MEMBERSHIPS, PUBLIC
from feature_repo.home import vault_path
from feature_repo.identity import Vault
from tests.hand_made import WORKSPACE, write_channels, write_events, write_people, write_snapshot

NAME = "channel_browser"
MONDAYS = tuple(datetime(2025, 5, 5, tzinfo=UTC) + timedelta(weeks=n) for n in range(17))
AS_OF = MONDAYS[-1]
TEST_CUTOFF = datetime(2025, 7, 21, tzinfo=UTC)
"""The last Monday that is 30 days older than `AS_OF`."""

PEOPLE = 30
CHANNELS = 130
LISTED = 120
"""Of a source: more than its quota."""

ID_BASE = WORKSPACE << 40
USERS = tuple(ID_BASE + n for n in range(1, PEOPLE + 1))
CHANNEL_IDS = tuple(ID_BASE + PEOPLE + n for n in range(1, CHANNELS + 1))
POPULAR = CHANNEL_IDS[:20]
PLANTED_USER = ID_BASE + PEOPLE + CHANNELS + 1
"""Has features of one Monday, and other ones of the day after; candidates that change every week."""

MONDAY, TUESDAY = TEST_CUTOFF, TEST_CUTOFF + timedelta(days=1)
PLANTED_LIST = CHANNEL_IDS[5:8]


def main() -> None:
    """Vault, event tables, offline tables and Feast's registry; no model yet."""
    with Vault(vault_path()) as vault:
        vault.workspace("acme", create=True)
        users = vault.intern(WORKSPACE, "user", [f"U{n}" for n in range(1, PEOPLE + 1)])
        channels = vault.intern(WORKSPACE, "channel", [f"C{n}" for n in range(1, CHANNELS + 1)])
        planted = vault.intern(WORKSPACE, "user", ["planted"])
    assert (*users, *channels, *planted) == (*USERS, *CHANNEL_IDS, PLANTED_USER)
    random = np.random.default_rng(5)
    taste = random.exponential(10, (PEOPLE, CHANNELS)).astype(np.float32)
    joined = joining_weeks(taste, random)
    write_history(joined)
    for week, monday in enumerate(MONDAYS):
        write_tables(monday, taste, joined < week, random)
    plant()
    FeatureStore(repo_path=str(feast_repo())).apply(list(feast_objects().values()))


def joining_weeks(taste: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.int64]:
    """``[users, channels]``: the week in which the user joins the channel, beyond the last one for never."""
    liked = np.argsort(-(taste + random.normal(0, 1, taste.shape)), axis=1)
    weeks = np.full(taste.shape, len(MONDAYS))
    np.put_along_axis(weeks, liked[:, : len(MONDAYS)], np.arange(len(MONDAYS))[None, :], axis=1)
    return weeks


def write_history(joined: NDArray[np.int64]) -> None:
    """Profiles, channels, and the joins, each on the Wednesday of its week."""
    born = MONDAYS[0] - timedelta(days=100)
    write_people(born, [*USERS, PLANTED_USER])
    write_channels(born, dict.fromkeys(CHANNEL_IDS, PUBLIC))
    joins = [
        {
            "user_id": USERS[user],
            "channel_id": CHANNEL_IDS[channel],
            "joined": True,
            "at": MONDAYS[joined[user, channel]] + timedelta(days=2, minutes=int(user)),
        }
        for user, channel in np.argwhere(joined < len(MONDAYS))
    ]
    write_events(MEMBERSHIPS, joins)


def write_tables(
    monday: datetime, taste: NDArray[np.float32], member: NDArray[np.bool_], random: np.random.Generator
) -> None:
    """The snapshots of one Monday, of all tables that the recommender reads."""
    declared = recommender(NAME)
    affinity, activity, persons = declared.features
    users, channels = np.array(USERS), np.array(CHANNEL_IDS)
    asking, asked = np.nonzero(~member)
    pairs = {"user_id": users[asking], "channel_id": channels[asked]}
    liking = {"comembership": taste[asking, asked]}
    write_snapshot(affinity.name, monday, pairs | noise(affinity, len(asking), random) | liking)
    write_snapshot(
        activity.name, monday, {"channel_id": channels} | noise(activity, CHANNELS, random, scale=30)
    )
    write_snapshot(persons.name, monday, {"user_id": users} | noise(persons, PEOPLE, random))
    lists = {
        "user_id": [*USERS, PLANTED_USER],
        "by_comembership": [
            *(random.permutation(channels[~member[u]])[:LISTED].tolist() for u in range(PEOPLE)),
            [PLANTED_LIST[(monday > MONDAY) - (monday < MONDAY)]],
        ],
        "by_neighbours": pa.array([*([[]] * PEOPLE), None], pa.list_(pa.int64())),
        "by_popularity": [*([list(POPULAR)] * PEOPLE), None],
    }
    write_snapshot(declared.candidates.name, monday, lists)
    write_snapshot(declared.popular.name, monday, {"channels": [list(POPULAR)]})


def noise(
    view: FeatureView, rows: int, random: np.random.Generator, scale: float = 5
) -> dict[str, NDArray[np.float32]]:
    """Every feature of the view, saying nothing."""
    return {f.name: random.exponential(scale, rows).astype(np.float32) for f in view.features}


def plant() -> None:
    """What a join must see, or must not: features of the planted user from Monday, and others from Tuesday."""
    (affinity, *_) = recommender(NAME).features
    rows = {"user_id": [PLANTED_USER], "channel_id": [CHANNEL_IDS[0]]}
    zeros = {f.name: np.zeros(1, np.float32) for f in affinity.features}
    for day, value in ((MONDAY, 1.0), (TUESDAY, 99.0)):
        write_snapshot(affinity.name, day, rows | zeros | {"comembership": np.array([value], np.float32)})
    join = {"user_id": PLANTED_USER, "channel_id": CHANNEL_IDS[50], "joined": True}
    write_events(MEMBERSHIPS, [join | {"at": MONDAY + timedelta(days=3)}])


if __name__ == "__main__":
    main()
