"""What happens between people and in channels, as Spark frames that several tables share."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.chat.events import DM, GROUP_DM
from feature_repo.windows import Snapshots

Inputs = dict[str, DataFrame]

REPLY_WITHIN_SECONDS = 86_400
"""A message answers the one before it in its thread if it follows within a day."""

LARGEST_THREAD_DAY = 50
"""Threads with more people on one day are crowds: sharing one says little, and pairs grow quadratically."""


def by_people(inputs: Inputs, table: str) -> DataFrame:
    """An event table without what bots did. Whether somebody is a bot is asked as of the event."""
    bots = inputs["users"].where("is_bot").groupBy("user_id").agg(F.min("event_timestamp").alias("bot_since"))
    known = F.coalesce(F.col("bot_since") <= F.col("event_timestamp"), F.lit(False))
    return inputs[table].join(F.broadcast(bots), "user_id", "left").where(~known).drop("bot_since")


def posts(inputs: Inputs) -> DataFrame:
    """People's messages outside direct messages."""
    return by_people(inputs, "messages").join(
        F.broadcast(_direct_channels(inputs)), "channel_id", "left_anti"
    )


def touches(inputs: Inputs) -> DataFrame:
    """Every act by which a person shows to be there: ``workspace_id, day, user_id, event_timestamp``."""
    columns = ("workspace_id", "day", "user_id", "event_timestamp")
    joins = by_people(inputs, "memberships").where("joined")
    acts = (by_people(inputs, "messages"), by_people(inputs, "reactions"), joins)
    first, *rest = (a.select(*columns) for a in acts)
    for frame in rest:
        first = first.unionByName(frame)
    return first


def memberships(inputs: Inputs) -> DataFrame:
    """Who is in which channel from when to when: ``workspace_id, user_id, channel_id, since, until``.

    A person is in from joining, or from a first post, until leaving; ``until`` is null while they stay.
    """
    posted = (
        by_people(inputs, "messages")
        .groupBy("workspace_id", "user_id", "channel_id", "day")
        .agg(F.min("event_timestamp").alias("event_timestamp"))
        .withColumn("joined", F.lit(True))
    )
    columns = ("workspace_id", "user_id", "channel_id", "event_timestamp", "joined")
    acts = posted.select(*columns).unionByName(by_people(inputs, "memberships").select(*columns))
    pair = Window.partitionBy("workspace_id", "user_id", "channel_id").orderBy(
        "event_timestamp", F.col("joined")
    )
    changes = acts.withColumn("before", F.lag("joined").over(pair)).where(
        F.col("before").isNull() | (F.col("before") != F.col("joined"))
    )
    return (
        changes.withColumn("until", F.lead("event_timestamp").over(pair))
        .where("joined")
        .select("workspace_id", "user_id", "channel_id", F.col("event_timestamp").alias("since"), "until")
    )


def members(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Who is in which channel at the midnight that begins each day: ``day`` and `memberships`' columns."""
    midnight = F.col("day").cast("timestamp")
    stay = (F.col("since") < midnight) & (F.col("until").isNull() | (F.col("until") >= midnight))
    return memberships(inputs).join(F.broadcast(days.frame), stay)


def public_channels(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Channels that anybody may join and that are not archived: ``workspace_id, day, channel_id, created``."""
    midnight = F.col("day").cast("timestamp")
    known = inputs["channels"].drop("day").join(F.broadcast(days.frame), F.col("event_timestamp") < midnight)
    latest = known.groupBy("workspace_id", "day", "channel_id").agg(
        F.max_by("kind", "event_timestamp").alias("kind"),
        F.max_by(F.coalesce("is_archived", F.lit(False)), "event_timestamp").alias("archived"),
        F.min("event_timestamp").alias("created"),
    )
    return latest.where("kind = 0 AND NOT archived").drop("kind", "archived")


def contacts(inputs: Inputs) -> DataFrame:
    """What one person did toward another, a row per pair and day.

    Columns: ``workspace_id, day, user_id`` (who acted), ``peer_id`` (toward whom), the counts ``mentions,
    replies, directs, reactions``, and ``last_at``.
    """
    mentions = (
        by_people(inputs, "mentions").where("NOT is_quote").withColumnRenamed("mentioned_user_id", "peer_id")
    )
    reactions = by_people(inputs, "reactions").withColumnRenamed("author_id", "peer_id")
    acts = {
        "mentions": mentions,
        "replies": replies(inputs),
        "directs": direct_messages(inputs),
        "reactions": reactions,
    }
    columns = ("workspace_id", "day", "user_id", "peer_id", "event_timestamp")
    rows = None
    for name, frame in acts.items():
        counted = frame.select(*columns, *(F.lit(int(name == other)).alias(other) for other in acts))
        rows = counted if rows is None else rows.unionByName(counted)
    assert rows is not None
    bots = inputs["users"].where("is_bot").select(F.col("user_id").alias("peer_id")).distinct()
    return (
        rows.where("user_id <> peer_id")
        .join(F.broadcast(bots), "peer_id", "left_anti")
        .groupBy("workspace_id", "day", "user_id", "peer_id")
        .agg(*(F.sum(name).alias(name) for name in acts), F.max("event_timestamp").alias("last_at"))
    )


def replies(inputs: Inputs) -> DataFrame:
    """Messages that follow somebody else's in the same thread within a day; ``peer_id`` wrote that one."""
    thread = Window.partitionBy("workspace_id", "channel_id", "thread_id").orderBy(
        "event_timestamp", "message_id"
    )
    answered = (
        by_people(inputs, "messages")
        .where("thread_id IS NOT NULL")
        .withColumn("peer_id", F.lag("user_id").over(thread))
        .withColumn("asked_at", F.lag("event_timestamp").over(thread))
    )
    gap = F.unix_timestamp("event_timestamp") - F.unix_timestamp("asked_at")
    return answered.where((gap <= REPLY_WITHIN_SECONDS) & (F.col("peer_id") != F.col("user_id")))


def direct_messages(inputs: Inputs) -> DataFrame:
    """Direct messages, one row for each other member of the conversation as ``peer_id``."""
    others = (
        inputs["memberships"]
        .where("joined")
        .select("channel_id", F.col("user_id").alias("peer_id"))
        .distinct()
    )
    direct = by_people(inputs, "messages").join(
        F.broadcast(_direct_channels(inputs)), "channel_id", "left_semi"
    )
    return direct.join(others, "channel_id").where("peer_id <> user_id")


def shared_threads(inputs: Inputs) -> DataFrame:
    """Pairs of people who wrote in the same thread on the same day, both ways.

    Columns: ``workspace_id, day, user_id, peer_id, threads`` (how many that day), ``last_at``.
    """
    place = ("workspace_id", "day", "channel_id", "thread_id")
    present = (
        posts(inputs)
        .where("thread_id IS NOT NULL")
        .groupBy(*place, "user_id")
        .agg(F.max("event_timestamp").alias("last_at"))
    )
    crowd = Window.partitionBy(*place)
    present = present.withColumn("people", F.count("user_id").over(crowd)).where(
        F.col("people").between(2, LARGEST_THREAD_DAY)
    )
    other = present.select(*place, F.col("user_id").alias("peer_id"), F.col("last_at").alias("peer_last_at"))
    return (
        present.join(other, list(place))
        .where("user_id <> peer_id")
        .groupBy("workspace_id", "day", "user_id", "peer_id")
        .agg(F.count("*").alias("threads"), F.max(F.greatest("last_at", "peer_last_at")).alias("last_at"))
    )


def _direct_channels(inputs: Inputs) -> DataFrame:
    return inputs["channels"].where(F.col("kind").isin(GROUP_DM, DM)).select("channel_id").distinct()
