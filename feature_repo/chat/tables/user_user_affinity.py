"""What ties a user to another: one row per ordered pair that met in 90 days."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.people import Inputs, contacts, posts, shared_threads
from feature_repo.tables import OfflineTable
from feature_repo.windows import Snapshots, daily, days_since, spread, top, total

KEYS = ("workspace_id", "day", "user_id", "peer_id")

MOST_BY_CHANNELS = 50
"""Of the people whom a user shares only channels with, so many are kept."""

LARGEST_CHANNEL = 300
"""Channels with more posters say nothing about a pair, and pairs grow quadratically."""


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Mentions, replies, direct messages, reactions, threads and channels, made and received."""
    met = _contacts_and_threads(inputs, days)
    return met.join(_channels(inputs, days), list(KEYS), "full")


def _contacts_and_threads(inputs: Inputs, days: Snapshots) -> DataFrame:
    acts = contacts(inputs).withColumn("threads", F.lit(0))
    threads = shared_threads(inputs)
    nothing = [F.lit(0).alias(name) for name in ("mentions", "replies", "directs", "reactions")]
    columns = ("mentions", "replies", "directs", "reactions", "threads")
    pair = ("workspace_id", "day", "user_id", "peer_id")

    def row(frame: DataFrame, part: str) -> DataFrame:
        """One side of the pair-day: its counts under ``part`` and zeros elsewhere."""
        counts = [
            F.when(F.lit(part == p), F.col(c)).otherwise(0).alias(f"{c}_{p}")
            for p in ("made", "received")
            for c in columns
        ]
        instants = [
            F.when(F.lit(part == p), F.col("last_at")).alias(f"last_{p}")
            for p in ("made", "received", "shared")
        ]
        shared = F.when(F.lit(part == "shared"), F.col("threads")).otherwise(0).alias("shared_threads")
        return frame.select(*pair, *counts, shared, *instants)

    swapped = acts.withColumnsRenamed({"user_id": "acted"}).withColumnsRenamed(
        {"peer_id": "user_id", "acted": "peer_id"}
    )
    together = threads.select(*pair, *nothing, "threads", "last_at")
    rows = row(acts, "made").unionByName(row(swapped, "received")).unionByName(row(together, "shared"))
    return (
        spread(rows, days)
        .groupBy(*KEYS)
        .agg(
            *(
                total(f"mentions_{p}", n).alias(f"mentions_{p}_{n}d")
                for p in ("made", "received")
                for n in (7, 30, 90)
            ),
            *(
                total(f"replies_{p}", n).alias(f"replies_{p}_{n}d")
                for p in ("made", "received")
                for n in (30, 90)
            ),
            *(
                (total("directs_made", n) + total("directs_received", n)).alias(f"direct_messages_{n}d")
                for n in (30, 90)
            ),
            *(total(f"reactions_{p}", 90).alias(f"reactions_{p}_90d") for p in ("made", "received")),
            *(total("shared_threads", n).alias(f"shared_threads_{n}d") for n in (7, 30, 90)),
            days_since(F.max("last_made")).alias("days_since_contact_made"),
            days_since(F.max("last_received")).alias("days_since_contact_received"),
            days_since(F.max("last_shared")).alias("days_since_shared_thread"),
        )
    )


def _channels(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Channels in which both posted, each weighing ``1 / log(1 + posters)`` (Adamic & Adar 2003)."""
    place = ("workspace_id", "day", "channel_id")
    posters = (
        spread(daily(posts(inputs), ["channel_id", "user_id"]), days).select(*place, "user_id").distinct()
    )
    size = (
        posters.groupBy(*place)
        .agg(F.count("*").alias("posters"))
        .where(F.col("posters").between(2, LARGEST_CHANNEL))
    )
    present = posters.join(F.broadcast(size), list(place))
    other = posters.withColumnRenamed("user_id", "peer_id")
    pairs = (
        present.join(other, list(place))
        .where("user_id <> peer_id")
        .groupBy(*KEYS)
        .agg(F.sum(1 / F.log1p("posters")).cast("float").alias("shared_channels_90d"))
    )
    order = (F.desc("shared_channels_90d"), F.asc("peer_id"))
    return top(pairs, ["user_id"], order, MOST_BY_CHANNELS).drop("place")


user_user_affinity = OfflineTable("user_user_affinity", ("user_id", "peer_id"), build)
