"""Channels to join: one row per active person, one list per source; and one popular list per workspace."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import members
from feature_repo.tables import Inputs, OfflineTable
from feature_repo.windows import Snapshots, best, stack

MOST = 100
"""The longest list; a recommender's quota takes its head."""

PERSON = ("workspace_id", "day", "user_id")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Public channels that the user is not in."""
    outside = inputs["user_channel_affinity"].where("NOT is_member")
    inside = members(inputs, days).select(*PERSON, F.col("channel_id").alias("joined"))
    lists = (
        stack(outside, inside)
        .groupBy(*PERSON)
        .agg(
            _best("comembership").alias("by_comembership"),
            _best("neighbour_strength").alias("by_neighbours"),
            F.collect_list("joined").alias("joined"),
        )
    )
    # A person who is in all of the head has seen what is popular: the list of others is not cut short by theirs.
    head = _popular(inputs, 2 * MOST).withColumnRenamed("channels", "head")
    left = F.slice(F.array_except("head", F.coalesce("joined", F.array())), 1, MOST)
    return (
        inputs["user_activity"]
        .select(*PERSON)
        .join(lists, list(PERSON), "left")
        .join(F.broadcast(head), ["workspace_id", "day"], "left")
        .withColumn("by_popularity", F.when(F.size(left) > 0, left))
        .drop("head", "joined")
    )


def _best(score: str) -> Column:
    return best("channel_id", [F.col(score)], MOST, where=F.col(score) > 0)


def _popular(inputs: Inputs, most: int) -> DataFrame:
    """The channels of each workspace that most people entered, then that most wrote in."""
    popularity = [F.col("newcomers_30d"), F.col("posters_30d")]
    activity = inputs["channel_activity"].groupBy("workspace_id", "day")
    return activity.agg(best("channel_id", popularity, most).alias("channels"))


def build_popular(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The one list for a user about whom nothing is known."""
    return _popular(inputs, MOST)


channel_candidates = OfflineTable(
    "channel_candidates",
    ("user_id",),
    build,
    reads=("user_activity", "channel_activity", "user_channel_affinity"),
)
popular_channels = OfflineTable(
    "popular_channels", ("workspace_id",), build_popular, reads=("channel_activity",)
)
