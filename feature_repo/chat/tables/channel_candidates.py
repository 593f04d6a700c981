"""Channels to join: one row per active person, one list per source; and one popular list per workspace."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import Inputs
from feature_repo.tables import OfflineTable
from feature_repo.windows import Snapshots, as_list, top

MOST = 100
"""The longest list; a recommender's quota takes its head."""


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Public channels that the user is not in."""
    affinity = inputs["user_channel_affinity"]
    outside = affinity.where("NOT is_member")
    people = inputs["user_activity"].select("workspace_id", "day", "user_id")
    lists = {
        "by_comembership": _best(outside, "comembership"),
        "by_neighbours": _best(outside, "neighbour_strength"),
        "by_popularity": _popular_for(people, inputs),
    }
    rows = people
    for name, ranked in lists.items():
        rows = rows.join(
            as_list(ranked, ["user_id"], "channel_id", name), ["workspace_id", "day", "user_id"], "left"
        )
    return rows


def _best(rows: DataFrame, score: str) -> DataFrame:
    known = rows.where(F.col(score) > 0)
    return top(known, ["user_id"], (F.desc(score), F.asc("channel_id")), MOST)


def _popular_for(people: DataFrame, inputs: Inputs) -> DataFrame:
    # Only the head of the list is crossed with every person: who is in all of it has seen what is popular.
    head = top(inputs["channel_activity"], [], _popularity(), 2 * MOST)
    inside = inputs["user_channel_affinity"].where("is_member")
    keys = ["workspace_id", "day", "user_id", "channel_id"]
    offered = (
        people.join(
            F.broadcast(head.select("workspace_id", "day", "channel_id", "place")), ["workspace_id", "day"]
        )
        .join(inside.select(*keys), keys, "left_anti")
        .withColumnRenamed("place", "rank")
    )
    return top(offered, ["user_id"], (F.asc("rank"),), MOST)


def _popularity() -> tuple[Column, ...]:
    """What makes an item popular, best first; ties are broken by id so that a build repeats."""
    return (F.desc_nulls_last("newcomers_30d"), F.desc_nulls_last("posters_30d"), F.asc("channel_id"))


def build_popular(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The one list for a user about whom nothing is known."""
    return as_list(top(inputs["channel_activity"], [], _popularity(), MOST), [], "channel_id", "channels")


channel_candidates = OfflineTable(
    "channel_candidates",
    ("user_id",),
    build,
    reads=("user_activity", "channel_activity", "user_channel_affinity"),
)
popular_channels = OfflineTable(
    "popular_channels", ("workspace_id",), build_popular, reads=("channel_activity",)
)
