"""What ties a user to a channel, of which they may or may not be a member."""

import operator
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.acts import channel_links, mentions, reactions
from feature_repo.chat.events import DM, GROUP_DM
from feature_repo.chat.people import channels, is_public, members, posts, without_bots
from feature_repo.tables import Inputs, OfflineTable
from feature_repo.windows import Snapshots, daily, days_since, spread, stack, top, total

KEYS = ("workspace_id", "day", "user_id", "channel_id")

SIMILAR_CHANNELS = 30
"""How many of the channels most like it a channel passes its members on to."""

MOST_BY_COMEMBERSHIP = 60
"""Channels per user that are kept for their co-membership alone."""

CLOSEST_PEOPLE = 20
"""How many of a user's closest people count as neighbours."""

CLOSENESS = {
    "mentions_made_90d": 2.0,
    "direct_messages_90d": 2.0,
    "replies_made_90d": 1.0,
    "shared_threads_90d": 1.0,
    "mentions_received_90d": 1.0,
}
"""What makes two people close: the weight of each count's logarithm."""

ACTS = ("mentions_received", "links_made", "reactions_made")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Co-membership, neighbours' activity, and the user's own touches of the channel."""
    people = inputs["user_activity"].select("workspace_id", "day", "user_id")
    inside = members(inputs, days).select(*KEYS).join(people, ["workspace_id", "day", "user_id"], "left_semi")
    known = channels(inputs, days)
    facts = stack(
        inside.withColumn("is_member", F.lit(True)),
        _comembership(inside, known),
        _neighbours(inputs, days),
        posts(inputs, days),
        without_bots(spread(_acts(inputs), days), inputs),
    )
    public = known.where(is_public()).select("workspace_id", "day", "channel_id")
    touched = F.count("last_at") > 0
    rows = facts.join(F.broadcast(public), ["workspace_id", "day", "channel_id"], "left_semi").groupBy(*KEYS)
    return rows.agg(
        F.max("comembership").alias("comembership"),
        F.nullifzero(F.count("strength")).cast("float").alias("neighbours_30d"),
        F.sum(F.col("strength") * F.log1p("wrote")).cast("float").alias("neighbour_strength"),
        *(
            F.when(touched, F.coalesce(F.sum(f"messages_{n}d"), F.lit(0)))
            .cast("float")
            .alias(f"messages_{n}d")
            for n in (7, 30, 90)
        ),
        *(F.when(touched, F.coalesce(total(n, 90), F.lit(0))).cast("float").alias(f"{n}_90d") for n in ACTS),
        days_since(F.max("last_at")).alias("days_since_touch"),
        F.coalesce(F.max("is_member"), F.lit(False)).alias("is_member"),
    ).where("coalesce(comembership, neighbours_30d, messages_90d) IS NOT NULL")


def _comembership(inside: DataFrame, known: DataFrame) -> DataFrame:
    """Item-based nearest neighbours (Sarwar et al. 2001): Σ over my channels of the cosine to this one.

    Direct conversations say nothing here, and only a public channel can be the one that others lead to.
    """
    place = ("workspace_id", "day")
    open_to_many = known.where(~F.col("kind").isin(GROUP_DM, DM))
    mine = inside.join(
        F.broadcast(open_to_many.select(*place, "channel_id", is_public().alias("public"))),
        [*place, "channel_id"],
    )
    similar = _similar_channels(mine)
    candidates = stack(
        mine.join(similar, [*place, "channel_id"]).select(
            *place, "user_id", F.col("to_channel").alias("channel_id"), "cosine"
        ),
        mine.select(*KEYS, F.lit(True).alias("is_member")),
    )
    scored = candidates.groupBy(*KEYS).agg(
        F.sum("cosine").cast("float").alias("comembership"), F.count("is_member").alias("inside")
    )
    outside = scored.where("inside = 0").drop("inside")
    return top(outside, ["user_id"], "comembership", "channel_id", MOST_BY_COMEMBERSHIP)


def _similar_channels(mine: DataFrame) -> DataFrame:
    """The public channels most like each: ``workspace_id, day, channel_id, to_channel, cosine``.

    Args:
        mine: Who is where: ``workspace_id, day, user_id, channel_id``, and whether the channel is ``public``.
    """
    place = ("workspace_id", "day")
    size = mine.groupBy(*place, "channel_id").agg(F.count("*").alias("size"))
    to_size = size.withColumnsRenamed({"channel_id": "to_channel", "size": "to_size"})
    both = (
        mine.groupBy(*place, "user_id")
        .agg(F.collect_list(F.struct("channel_id", "public")).alias("of"))
        .withColumn("one", F.explode("of"))
        .withColumn("other", F.explode("of"))
        .where("other.public AND one.channel_id <> other.channel_id")
        .groupBy(
            *place, F.col("one.channel_id").alias("channel_id"), F.col("other.channel_id").alias("to_channel")
        )
        .agg(F.count("*").alias("both"))
    )
    cosine = F.col("both") / F.sqrt(F.col("size") * F.col("to_size"))
    similar = (
        both.join(F.broadcast(size), [*place, "channel_id"])
        .join(F.broadcast(to_size), [*place, "to_channel"])
        .select(*place, "channel_id", "to_channel", cosine.alias("cosine"))
    )
    return top(similar, ["channel_id"], "cosine", "to_channel", SIMILAR_CHANNELS)


def _neighbours(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Where the user's closest people wrote in 30 days, a row per person and channel.

    Columns: ``workspace_id, day, user_id, channel_id``, ``strength`` (how close the person is), ``wrote``
    (their messages there).
    """
    counts = [weight * F.coalesce(F.log1p(name), F.lit(0.0)) for name, weight in CLOSENESS.items()]
    pairs = inputs["user_user_affinity"].select(
        "workspace_id", "day", "user_id", "peer_id", reduce(operator.add, counts).alias("strength")
    )
    closest = top(pairs.where("strength > 0"), ["user_id"], "strength", "peer_id", CLOSEST_PEOPLE)
    wrote = (
        posts(inputs, days)
        .where("messages_30d > 0")
        .select(
            "workspace_id",
            "day",
            F.col("user_id").alias("peer_id"),
            "channel_id",
            F.col("messages_30d").alias("wrote"),
        )
    )
    return closest.join(wrote, ["workspace_id", "day", "peer_id"]).drop("peer_id")


def _acts(inputs: Inputs) -> DataFrame:
    """Touches beside messages, a row per day: ``workspace_id, day, user_id, channel_id, last_at``, and `ACTS`."""
    acts = {
        "mentions_received": mentions(inputs).withColumn("user_id", F.col("mentioned_user_id")),
        "links_made": channel_links(inputs),
        "reactions_made": reactions(inputs),
    }
    rows = stack(
        *(
            frame.select(*KEYS, "event_timestamp", *(F.lit(int(name == act)).alias(act) for act in ACTS))
            for name, frame in acts.items()
        )
    )
    return daily(rows, ["user_id", "channel_id"], **{act: F.sum(act) for act in ACTS})


user_channel_affinity = OfflineTable(
    "user_channel_affinity", ("user_id", "channel_id"), build, reads=("user_activity", "user_user_affinity")
)
