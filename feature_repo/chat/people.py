"""Who is there: people without bots, their memberships, and the channels that they may join.

A bot's act is never counted, and whoever is known to be a bot before day D is nobody in the rows of D.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.chat.events import DM, GROUP_DM, PUBLIC
from feature_repo.tables import Inputs, shared
from feature_repo.windows import Snapshots, daily, midnight, spread, stack, total


@shared
def bots(inputs: Inputs) -> DataFrame:
    """Programs: ``user_id``, and ``bot_since``, the instant from which they are known as such."""
    return inputs["users"].where("is_bot").groupBy("user_id").agg(F.min("event_timestamp").alias("bot_since"))


def by_people(inputs: Inputs, table: str) -> DataFrame:
    """An event table without what bots did. Whether somebody is a bot is asked as of the event."""
    acted = (F.col("acted") == F.col("user_id")) & (F.col("bot_since") <= F.col("event_timestamp"))
    programs = bots(inputs).withColumnRenamed("user_id", "acted")
    return inputs[table].join(F.broadcast(programs), acted, "left_anti")


def without_bots(rows: DataFrame, inputs: Inputs, person: str = "user_id") -> DataFrame:
    """Rows of a snapshot about a ``person`` who is not known to be a bot when its ``day`` begins."""
    is_bot = (F.col("bot") == F.col(person)) & (F.col("bot_since") < midnight())
    programs = bots(inputs).withColumnRenamed("user_id", "bot")
    return rows.join(F.broadcast(programs), is_bot, "left_anti")


@shared
def messages(inputs: Inputs) -> DataFrame:
    """People's messages.

    Columns: ``workspace_id, day, event_timestamp, message_id, user_id, channel_id, thread_id``, and
    ``is_direct``: whether the channel was known as a direct conversation when the message was written.
    """
    direct = (
        inputs["channels"]
        .where(F.col("kind").isin(GROUP_DM, DM))
        .groupBy("channel_id")
        .agg(F.min("event_timestamp").alias("direct_since"))
    )
    columns = ("workspace_id", "day", "event_timestamp", "message_id", "user_id", "channel_id", "thread_id")
    is_direct = F.coalesce(F.col("direct_since") <= F.col("event_timestamp"), F.lit(False))
    return (
        by_people(inputs, "messages")
        .join(F.broadcast(direct), "channel_id", "left")
        .select(*columns, is_direct.alias("is_direct"))
    )


@shared
def posts(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Who wrote where, outside direct conversations, in each snapshot's windows.

    Columns: ``workspace_id, day, user_id, channel_id, messages_7d, messages_30d, messages_90d, last_at``.
    """
    written = daily(messages(inputs).where("NOT is_direct"), ["user_id", "channel_id"], messages=F.count("*"))
    counted = (
        spread(written, days)
        .groupBy("workspace_id", "day", "user_id", "channel_id")
        .agg(
            *(total("messages", n).alias(f"messages_{n}d") for n in (7, 30, 90)),
            F.max("last_at").alias("last_at"),
        )
    )
    return without_bots(counted, inputs)


@shared
def memberships(inputs: Inputs) -> DataFrame:
    """Who is in which channel from when to when: ``workspace_id, user_id, channel_id, since, until``.

    A person is in from joining, or from a first post, until leaving; ``until`` is null while they stay.
    """
    pair = ("workspace_id", "user_id", "channel_id")
    joins_and_leaves = by_people(inputs, "memberships").select(*pair, "event_timestamp", "joined")
    # A later post says something new only where somebody came back after leaving.
    left = joins_and_leaves.where("NOT joined").select(*pair).distinct()
    first = messages(inputs).groupBy(*pair).agg(F.min("event_timestamp").alias("event_timestamp"))
    again = messages(inputs).join(F.broadcast(left), list(pair), "left_semi").select(*pair, "event_timestamp")
    posted = stack(first, again).withColumn("joined", F.lit(True))
    in_order = Window.partitionBy(*pair).orderBy("event_timestamp", "joined")
    changes = (
        stack(joins_and_leaves, posted)
        .withColumn("before", F.lag("joined").over(in_order))
        .where(F.col("before").isNull() | (F.col("before") != F.col("joined")))
    )
    return (
        changes.withColumn("until", F.lead("event_timestamp").over(in_order))
        .where("joined")
        .select(*pair, F.col("event_timestamp").alias("since"), "until")
    )


def members(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Who is in which channel at the midnight that begins each day: ``day`` and `memberships`' columns."""
    stay = (F.col("since") < midnight()) & (F.col("until").isNull() | (F.col("until") >= midnight()))
    return without_bots(memberships(inputs).join(F.broadcast(days.frame), stay), inputs)


def channels(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Channels known at the midnight that begins each day, as they are then.

    Columns: ``workspace_id, day, channel_id, kind, is_archived, created``.
    """
    known = (
        inputs["channels"].drop("day").join(F.broadcast(days.frame), F.col("event_timestamp") < midnight())
    )
    return known.groupBy("workspace_id", "day", "channel_id").agg(
        F.max_by("kind", "event_timestamp").alias("kind"),
        F.max_by(F.coalesce("is_archived", F.lit(False)), "event_timestamp").alias("is_archived"),
        F.min("event_timestamp").alias("created"),
    )


def is_public() -> Column:
    """Whether one of `channels` is open to anybody: public, and not archived."""
    return (F.col("kind") == PUBLIC) & ~F.col("is_archived")
