"""What ties a user to a channel, of which they may or may not be a member."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import Inputs, by_people, members, posts, public_channels
from feature_repo.tables import OfflineTable
from feature_repo.windows import Snapshots, daily, days_since, spread, top, total

KEYS = ("workspace_id", "day", "user_id", "channel_id")

SIMILAR_CHANNELS = 30
"""How many of the channels most like it a channel passes its members on to."""

MOST_BY_COMEMBERSHIP = 60
"""Channels per user that are kept for their co-membership alone."""

CLOSEST_PEOPLE = 20
"""How many of a user's closest people count as neighbours."""


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Co-membership, neighbours' activity, and the user's own touches of the channel."""
    public = public_channels(inputs, days).select("workspace_id", "day", "channel_id")
    belong = members(inputs, days).join(
        inputs["user_activity"].select("workspace_id", "day", "user_id"),
        ["workspace_id", "day", "user_id"],
        "left_semi",
    )
    inside = belong.select(*KEYS, F.lit(True).alias("is_member"))
    return (
        _comembership(belong)
        .join(_neighbours(inputs, days), list(KEYS), "full")
        .join(_touches(inputs, days), list(KEYS), "full")
        .join(public, ["workspace_id", "day", "channel_id"], "left_semi")
        .join(inside, list(KEYS), "left")
        .withColumn("is_member", F.coalesce("is_member", F.lit(False)))
    )


def _comembership(belong: DataFrame) -> DataFrame:
    """Item-based nearest neighbours (Sarwar et al. 2001): Σ over my channels of the cosine to this one."""
    place = ("workspace_id", "day")
    mine = belong.select(*place, "user_id", "channel_id")
    size = mine.groupBy(*place, "channel_id").agg(F.count("*").alias("size"))
    other = mine.withColumnRenamed("channel_id", "to_channel")
    cosine = F.col("both") / F.sqrt(F.col("size") * F.col("to_size"))
    similar = (
        mine.join(other, [*place, "user_id"])
        .where("channel_id <> to_channel")
        .groupBy(*place, "channel_id", "to_channel")
        .agg(F.count("*").alias("both"))
        .join(F.broadcast(size), [*place, "channel_id"])
        .join(
            F.broadcast(size.withColumnsRenamed({"channel_id": "to_channel", "size": "to_size"})),
            [*place, "to_channel"],
        )
        .withColumn("cosine", cosine)
    )
    similar = top(similar, ["channel_id"], (F.desc("cosine"), F.asc("to_channel")), SIMILAR_CHANNELS)
    scored = (
        mine.join(similar.select(*place, "channel_id", "to_channel", "cosine"), [*place, "channel_id"])
        .groupBy(*place, "user_id", F.col("to_channel").alias("channel_id"))
        .agg(F.sum("cosine").cast("float").alias("comembership"))
    )
    outside = scored.join(mine, list(KEYS), "left_anti")
    order = (F.desc("comembership"), F.asc("channel_id"))
    return top(outside, ["user_id"], order, MOST_BY_COMEMBERSHIP).drop("place")


def _neighbours(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The user's closest people, and where those wrote in 30 days."""
    closeness = sum(
        weight * F.coalesce(F.log1p(name), F.lit(0.0))
        for name, weight in (
            ("mentions_made_90d", 2.0),
            ("direct_messages_90d", 2.0),
            ("replies_made_90d", 1.0),
            ("shared_threads_90d", 1.0),
            ("mentions_received_90d", 1.0),
        )
    )
    pairs = inputs["user_user_affinity"].withColumn("strength", closeness).where("strength > 0")
    closest = top(pairs, ["user_id"], (F.desc("strength"), F.asc("peer_id")), CLOSEST_PEOPLE)
    wrote = (
        spread(daily(posts(inputs), ["user_id", "channel_id"], messages=F.count("*")), days, 30)
        .groupBy("workspace_id", "day", F.col("user_id").alias("peer_id"), "channel_id")
        .agg(F.sum("messages").alias("messages"))
    )
    return (
        closest.select("workspace_id", "day", "user_id", "peer_id", "strength")
        .join(wrote, ["workspace_id", "day", "peer_id"])
        .groupBy(*KEYS)
        .agg(
            F.count("*").cast("float").alias("neighbours_30d"),
            F.sum(F.col("strength") * F.log1p("messages")).cast("float").alias("neighbour_strength"),
        )
    )


def _touches(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The user's own messages, reactions and links, and mentions of the user, by channel."""
    names = ("messages", "mentions_received", "links_made", "reactions_made")
    acts = {
        "messages": posts(inputs),
        "mentions_received": by_people(inputs, "mentions")
        .where("NOT is_quote")
        .drop("user_id")
        .withColumnRenamed("mentioned_user_id", "user_id"),
        "links_made": by_people(inputs, "channel_links")
        .drop("channel_id")
        .withColumnRenamed("linked_channel_id", "channel_id"),
        "reactions_made": by_people(inputs, "reactions"),
    }
    columns = ("workspace_id", "day", "user_id", "channel_id", "event_timestamp")
    rows = None
    for name, frame in acts.items():
        counted = frame.select(*columns, *(F.lit(int(name == other)).alias(other) for other in names))
        rows = counted if rows is None else rows.unionByName(counted)
    assert rows is not None
    touched = daily(rows, ["user_id", "channel_id"], **{n: F.sum(n) for n in names})
    return (
        spread(touched, days)
        .groupBy(*KEYS)
        .agg(
            *(total("messages", n).alias(f"messages_{n}d") for n in (7, 30, 90)),
            *(total(n, 90).alias(f"{n}_90d") for n in names[1:]),
            days_since(F.max("last_at")).alias("days_since_touch"),
        )
    )


user_channel_affinity = OfflineTable(
    "user_channel_affinity", ("user_id", "channel_id"), build, reads=("user_activity", "user_user_affinity")
)
