"""People to address: one row per active person, one list per source; and one popular list per workspace."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import Inputs
from feature_repo.tables import OfflineTable
from feature_repo.windows import Snapshots, as_list, top

MOST = 100
"""The longest list; a recommender's quota takes its head."""


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """People by past contact, shared threads, shared channels and popularity."""
    pairs = inputs["user_user_affinity"]
    people = inputs["user_activity"].select("workspace_id", "day", "user_id")
    made = _sum("mentions_made_90d", "direct_messages_90d", "replies_made_90d", "reactions_made_90d")
    received = _sum("mentions_received_90d", "replies_received_90d", "reactions_received_90d")
    recent = 1 + _sum("mentions_made_7d", "mentions_made_30d", "direct_messages_30d")
    lists = {
        "by_contact": _best(pairs, (2 * made + received) * recent),
        "by_threads": _best(pairs, _sum("shared_threads_7d", "shared_threads_30d", "shared_threads_90d")),
        "by_channels": _best(pairs, F.col("shared_channels_90d")),
        "by_popularity": _popular_for(people, inputs),
    }
    rows = people
    for name, ranked in lists.items():
        rows = rows.join(
            as_list(ranked, ["user_id"], "peer_id", name), ["workspace_id", "day", "user_id"], "left"
        )
    return rows


def _sum(*names: str) -> Column:
    first, *rest = (F.coalesce(F.col(n), F.lit(0.0)) for n in names)
    for column in rest:
        first = first + column
    return first


def _best(pairs: DataFrame, score: Column) -> DataFrame:
    known = pairs.withColumn("score", score).where("score > 0")
    return top(known, ["user_id"], (F.desc("score"), F.asc("peer_id")), MOST)


def _popular_for(people: DataFrame, inputs: Inputs) -> DataFrame:
    head = top(inputs["user_activity"], [], _popularity(), MOST).select(
        "workspace_id", "day", F.col("user_id").alias("peer_id"), F.col("place").alias("rank")
    )
    offered = people.join(F.broadcast(head), ["workspace_id", "day"]).where("user_id <> peer_id")
    return top(offered, ["user_id"], (F.asc("rank"),), MOST)


def _popularity() -> tuple[Column, ...]:
    """What makes an item popular, best first; ties are broken by id so that a build repeats."""
    return (F.desc_nulls_last("mentions_received_30d"), F.desc_nulls_last("messages_30d"), F.asc("user_id"))


def build_popular(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The one list for a user about whom nothing is known."""
    return as_list(top(inputs["user_activity"], [], _popularity(), MOST), [], "user_id", "people")


people_candidates = OfflineTable(
    "people_candidates", ("user_id",), build, reads=("user_activity", "user_user_affinity")
)
popular_people = OfflineTable("popular_people", ("workspace_id",), build_popular, reads=("user_activity",))
