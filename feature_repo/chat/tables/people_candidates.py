"""People to address: one row per active person, one list per source; and one popular list per workspace."""

import operator
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.tables import Inputs, OfflineTable
from feature_repo.windows import Snapshots, best

MOST = 100
"""The longest list; a recommender's quota takes its head."""

PERSON = ("workspace_id", "day", "user_id")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """People by past contact, shared threads, shared channels and popularity."""
    made = _sum("mentions_made_90d", "direct_messages_90d", "replies_made_90d", "reactions_made_90d")
    received = _sum("mentions_received_90d", "replies_received_90d", "reactions_received_90d")
    recent = 1 + _sum("mentions_made_7d", "mentions_made_30d", "direct_messages_30d")
    threads = _sum("shared_threads_7d", "shared_threads_30d", "shared_threads_90d")
    lists = (
        inputs["user_user_affinity"]
        .groupBy(*PERSON)
        .agg(
            _best((2 * made + received) * recent).alias("by_contact"),
            _best(threads).alias("by_threads"),
            _best(F.col("shared_channels_90d")).alias("by_channels"),
        )
    )
    others = F.array_remove("people", F.col("user_id"))
    return (
        inputs["user_activity"]
        .select(*PERSON)
        .join(lists, list(PERSON), "left")
        .join(F.broadcast(build_popular(inputs, days)), ["workspace_id", "day"])
        .withColumn("by_popularity", F.when(F.size(others) > 0, others))
        .drop("people")
    )


def _sum(*names: str) -> Column:
    return reduce(operator.add, (F.coalesce(F.col(n), F.lit(0.0)) for n in names))


def _best(score: Column) -> Column:
    return best("peer_id", [score], MOST, where=score > 0)


def build_popular(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The one list for a user about whom nothing is known: who is addressed most, then who writes most."""
    popularity = [F.col("mentions_received_30d"), F.col("messages_30d")]
    activity = inputs["user_activity"].groupBy("workspace_id", "day")
    return activity.agg(best("user_id", popularity, MOST).alias("people"))


people_candidates = OfflineTable(
    "people_candidates", ("user_id",), build, reads=("user_activity", "user_user_affinity")
)
popular_people = OfflineTable("popular_people", ("workspace_id",), build_popular, reads=("user_activity",))
