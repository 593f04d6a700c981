"""How active a user is: one row per person who did anything in 90 days."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import Inputs, by_people, members, posts, touches
from feature_repo.tables import OfflineTable
from feature_repo.windows import Snapshots, daily, days_since, distinct, spread, total

KEYS = ("workspace_id", "day", "user_id")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Messages, active days, channels, threads, mentions and reactions in 7, 30 and 90 days."""
    frames = (
        _writing(inputs, days),
        _mentions(inputs, days),
        _reactions(inputs, days),
        _belonging(inputs, days),
    )
    rows = _presence(inputs, days)
    for frame in frames:
        rows = rows.join(frame, list(KEYS), "left")
    return rows


def _presence(inputs: Inputs, days: Snapshots) -> DataFrame:
    seen = spread(daily(touches(inputs), ["user_id"]), days)
    return seen.groupBy(*KEYS).agg(
        distinct("last_at", 30).alias("active_days_30d"), distinct("last_at", 90).alias("active_days_90d")
    )


def _writing(inputs: Inputs, days: Snapshots) -> DataFrame:
    written = daily(posts(inputs), ["user_id", "channel_id", "thread_id"], messages=F.count("*"))
    return (
        spread(written, days)
        .groupBy(*KEYS)
        .agg(
            *(total("messages", n).alias(f"messages_{n}d") for n in (7, 30, 90)),
            *(distinct("channel_id", n).alias(f"channels_{n}d") for n in (30, 90)),
            distinct("thread_id", 30).alias("threads_30d"),
            days_since(F.max("last_at")).alias("days_since_message"),
        )
    )


def _mentions(inputs: Inputs, days: Snapshots) -> DataFrame:
    addressed = by_people(inputs, "mentions").where("NOT is_quote")
    made = addressed.select(
        "workspace_id",
        "day",
        "event_timestamp",
        "user_id",
        F.lit(1).alias("made"),
        F.lit(0).alias("received"),
    )
    received = addressed.select(
        "workspace_id",
        "day",
        "event_timestamp",
        F.col("mentioned_user_id").alias("user_id"),
        F.lit(0).alias("made"),
        F.lit(1).alias("received"),
    )
    both = daily(made.unionByName(received), ["user_id"], made=F.sum("made"), received=F.sum("received"))
    return (
        spread(both, days)
        .groupBy(*KEYS)
        .agg(
            total("made", 30).alias("mentions_made_30d"),
            *(total("received", n).alias(f"mentions_received_{n}d") for n in (30, 90)),
        )
    )


def _reactions(inputs: Inputs, days: Snapshots) -> DataFrame:
    reacted = by_people(inputs, "reactions")
    made = reacted.select(
        "workspace_id",
        "day",
        "event_timestamp",
        "user_id",
        F.col("count").alias("made"),
        F.lit(0).alias("received"),
    )
    received = reacted.select(
        "workspace_id",
        "day",
        "event_timestamp",
        F.col("author_id").alias("user_id"),
        F.lit(0).alias("made"),
        F.col("count").alias("received"),
    )
    both = daily(made.unionByName(received), ["user_id"], made=F.sum("made"), received=F.sum("received"))
    return (
        spread(both, days, 30)
        .groupBy(*KEYS)
        .agg(
            total("made", 30).alias("reactions_made_30d"),
            total("received", 30).alias("reactions_received_30d"),
        )
    )


def _belonging(inputs: Inputs, days: Snapshots) -> DataFrame:
    return (
        members(inputs, days)
        .groupBy(*KEYS)
        .agg(
            F.count("*").cast("float").alias("channels_joined"),
            days_since(F.min("since")).alias("tenure_days"),
        )
    )


user_activity = OfflineTable("user_activity", ("user_id",), build)
