"""What people do toward each other, a row per act, as Spark frames."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.chat.people import by_people, memberships, messages
from feature_repo.tables import Inputs, shared
from feature_repo.windows import daily, stack

REPLY_WITHIN_SECONDS = 86_400
"""A message answers the one before it in its thread if it follows within a day."""

LARGEST_THREAD_DAY = 50
"""Threads with more people on one day are crowds: sharing one says little, and pairs grow quadratically."""

_PAIR = ("workspace_id", "day", "user_id", "peer_id")


@shared
def mentions(inputs: Inputs) -> DataFrame:
    """Mentions that address somebody: the event table without quotations and without what bots wrote."""
    columns = ("workspace_id", "day", "event_timestamp", "user_id", "channel_id", "mentioned_user_id")
    return by_people(inputs, "mentions").where("NOT is_quote").select(*columns)


@shared
def reactions(inputs: Inputs) -> DataFrame:
    """People's reactions: ``workspace_id, day, event_timestamp, user_id, channel_id, author_id, count``."""
    columns = ("workspace_id", "day", "event_timestamp", "user_id", "channel_id", "author_id", "count")
    return by_people(inputs, "reactions").select(*columns)


@shared
def channel_links(inputs: Inputs) -> DataFrame:
    """People's links to channels; ``channel_id`` is the channel linked to."""
    columns = ("workspace_id", "day", "event_timestamp", "user_id")
    return by_people(inputs, "channel_links").select(*columns, F.col("linked_channel_id").alias("channel_id"))


def contacts(inputs: Inputs) -> DataFrame:
    """What one person did toward another, a row per pair and day.

    Columns: ``workspace_id, day, user_id`` (who acted), ``peer_id`` (toward whom), the counts ``mentions,
    replies, directs, reactions``, and ``last_at``.
    """
    acts = {
        "mentions": mentions(inputs).withColumnRenamed("mentioned_user_id", "peer_id"),
        "replies": replies(inputs),
        "directs": direct_messages(inputs),
        "reactions": reactions(inputs).withColumnRenamed("author_id", "peer_id"),
    }
    rows = stack(
        *(
            frame.select(
                *_PAIR, "event_timestamp", *(F.lit(int(name == other)).alias(other) for other in acts)
            )
            for name, frame in acts.items()
        )
    )
    toward_others = rows.where("user_id <> peer_id")
    return daily(toward_others, ["user_id", "peer_id"], **{name: F.sum(name) for name in acts})


def replies(inputs: Inputs) -> DataFrame:
    """Messages that follow somebody else's in the same thread within a day; ``peer_id`` wrote that one."""
    thread = Window.partitionBy("workspace_id", "channel_id", "thread_id").orderBy(
        "event_timestamp", "message_id"
    )
    answered = (
        messages(inputs)
        .where("thread_id IS NOT NULL")
        .withColumn("peer_id", F.lag("user_id").over(thread))
        .withColumn("asked_at", F.lag("event_timestamp").over(thread))
    )
    gap = F.unix_timestamp("event_timestamp") - F.unix_timestamp("asked_at")
    return answered.where((gap <= REPLY_WITHIN_SECONDS) & (F.col("peer_id") != F.col("user_id")))


def direct_messages(inputs: Inputs) -> DataFrame:
    """Direct messages, one row for each other member of the conversation at that time as ``peer_id``."""
    others = memberships(inputs).select("channel_id", F.col("user_id").alias("peer_id"), "since", "until")
    present = (F.col("since") <= F.col("event_timestamp")) & (
        F.col("until").isNull() | (F.col("event_timestamp") < F.col("until"))
    )
    return (
        messages(inputs)
        .where("is_direct")
        .join(others, "channel_id")
        .where(present)
        .where("peer_id <> user_id")
    )


def shared_threads(inputs: Inputs) -> DataFrame:
    """Pairs of people who wrote in the same thread on the same day, each pair once.

    Columns: ``workspace_id, day, user_id`` (the lower id), ``peer_id, threads`` (how many that day),
    ``last_at``.
    """
    place = ("workspace_id", "day", "channel_id", "thread_id")
    present = (
        messages(inputs)
        .where("NOT is_direct AND thread_id IS NOT NULL")
        .groupBy(*place, "user_id")
        .agg(F.max("event_timestamp").alias("last_at"))
    )
    crowds = present.groupBy(*place).agg(F.collect_list(F.struct("user_id", "last_at")).alias("people"))
    small = crowds.where(F.size("people").between(2, LARGEST_THREAD_DAY))
    met = small.withColumn("one", F.explode("people")).withColumn("other", F.explode("people"))
    return (
        met.where("one.user_id < other.user_id")
        .groupBy(
            "workspace_id",
            "day",
            F.col("one.user_id").alias("user_id"),
            F.col("other.user_id").alias("peer_id"),
        )
        .agg(
            F.count("*").alias("threads"), F.max(F.greatest("one.last_at", "other.last_at")).alias("last_at")
        )
    )
