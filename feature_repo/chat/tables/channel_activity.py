"""How alive a channel is: one row per public channel, whatever happened in it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import Inputs, by_people, members, memberships, posts, public_channels
from feature_repo.tables import OfflineTable
from feature_repo.windows import Snapshots, daily, days_since, distinct, spread, total

KEYS = ("workspace_id", "day", "channel_id")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Messages, posters, newcomers, links, reactions and members in 7, 30 and 90 days."""
    rows = public_channels(inputs, days).withColumn("age_days", days_since(F.col("created"))).drop("created")
    frames = (
        _writing(inputs, days),
        _newcomers(inputs, days),
        _links(inputs, days),
        _reactions(inputs, days),
        members(inputs, days).groupBy(*KEYS).agg(F.count("*").cast("float").alias("members")),
    )
    for frame in frames:
        rows = rows.join(frame, list(KEYS), "left")
    return rows


def _writing(inputs: Inputs, days: Snapshots) -> DataFrame:
    written = daily(posts(inputs), ["channel_id", "user_id"], messages=F.count("*"))
    return (
        spread(written, days)
        .groupBy(*KEYS)
        .agg(
            *(total("messages", n).alias(f"messages_{n}d") for n in (7, 30, 90)),
            *(distinct("user_id", n).alias(f"posters_{n}d") for n in (7, 30, 90)),
            days_since(F.max("last_at")).alias("days_since_message"),
        )
    )


def _newcomers(inputs: Inputs, days: Snapshots) -> DataFrame:
    entered = memberships(inputs).select(
        "workspace_id", F.to_date("since").alias("day"), F.col("since").alias("event_timestamp"), "channel_id"
    )
    return (
        spread(daily(entered, ["channel_id"], entered=F.count("*")), days)
        .groupBy(*KEYS)
        .agg(*(total("entered", n).alias(f"newcomers_{n}d") for n in (7, 30, 90)))
    )


def _links(inputs: Inputs, days: Snapshots) -> DataFrame:
    linked = (
        by_people(inputs, "channel_links")
        .drop("channel_id")
        .withColumnRenamed("linked_channel_id", "channel_id")
    )
    return (
        spread(daily(linked, ["channel_id"], links=F.count("*")), days, 30)
        .groupBy(*KEYS)
        .agg(total("links", 30).alias("links_30d"))
    )


def _reactions(inputs: Inputs, days: Snapshots) -> DataFrame:
    reacted = daily(by_people(inputs, "reactions"), ["channel_id"], reactions=F.sum("count"))
    return spread(reacted, days, 30).groupBy(*KEYS).agg(total("reactions", 30).alias("reactions_30d"))


channel_activity = OfflineTable("channel_activity", ("channel_id",), build)
