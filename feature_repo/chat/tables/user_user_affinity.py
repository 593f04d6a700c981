"""What ties a user to another: one row per ordered pair that met in 90 days."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.acts import contacts, shared_threads
from feature_repo.chat.people import posts, without_bots
from feature_repo.tables import Inputs, OfflineTable
from feature_repo.windows import Snapshots, days_since, spread, stack, top, total

KEYS = ("workspace_id", "day", "user_id", "peer_id")

WINDOWS = {
    "mentions": (7, 30, 90),
    "replies": (30, 90),
    "directs": (30, 90),
    "reactions": (90,),
    "threads": (7, 30, 90),
}
"""Over how many days each kind of act is counted."""

MOST_BY_CHANNELS = 50
"""For so many people, those with whom a user shares the most channels, the shared channels count."""

LARGEST_CHANNEL = 300
"""Channels with more posters say nothing about a pair, and pairs grow quadratically."""


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Mentions, replies, direct messages, reactions, threads and channels, made and received."""
    toward = _toward(inputs, days)
    sides = stack(
        _side(toward, "made", user="user_id", peer="peer_id"),
        _side(toward, "received", user="peer_id", peer="user_id"),
        _channels(inputs, days),
    )
    counts = [c for c in sides.columns if c not in KEYS and not c.startswith("last_")]
    return sides.groupBy(*KEYS).agg(
        *(F.sum(name).cast("float").alias(name) for name in counts),
        days_since(F.max("last_made")).alias("days_since_contact_made"),
        days_since(F.max("last_received")).alias("days_since_contact_received"),
        days_since(F.max("last_shared")).alias("days_since_shared_thread"),
    )


def _toward(inputs: Inputs, days: Snapshots) -> DataFrame:
    """What one person did toward another in each snapshot's windows: `WINDOWS`' counts and two instants.

    A shared thread has no direction; it is counted for the lower id alone, and never twice.
    """
    acts = contacts(inputs).withColumnRenamed("last_at", "last_act")
    threads = shared_threads(inputs).withColumnRenamed("last_at", "last_shared")
    counted = (
        spread(stack(acts, threads), days)
        .groupBy(*KEYS)
        .agg(
            *(
                F.coalesce(total(act, n), F.lit(0.0)).alias(f"{act}_{n}d")
                for act, spans in WINDOWS.items()
                for n in spans
            ),
            F.max("last_act").alias("last_act"),
            F.max("last_shared").alias("last_shared"),
        )
    )
    return without_bots(without_bots(counted, inputs), inputs, "peer_id")


def _side(toward: DataFrame, side: str, user: str, peer: str) -> DataFrame:
    """`_toward` as ``user`` sees it: what has a direction under ``side``, and zeros under the other side."""

    def count(act: str, n: int, column: str) -> Column:
        return F.col(f"{act}_{n}d").alias(column)

    directed = [
        (count(act, n, f"{act}_{s}_{n}d") if s == side else F.lit(0.0).alias(f"{act}_{s}_{n}d"))
        for act in ("mentions", "replies", "reactions")
        for n in WINDOWS[act]
        for s in ("made", "received")
    ]
    return toward.select(
        "workspace_id",
        "day",
        F.col(user).alias("user_id"),
        F.col(peer).alias("peer_id"),
        *directed,
        *(count("directs", n, f"direct_messages_{n}d") for n in WINDOWS["directs"]),
        *(count("threads", n, f"shared_threads_{n}d") for n in WINDOWS["threads"]),
        F.col("last_act").alias(f"last_{side}"),
        "last_shared",
    )


def _channels(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Channels in which both posted, each weighing ``1 / log(1 + posters)`` (Adamic & Adar 2003)."""
    posters = (
        posts(inputs, days)
        .groupBy("workspace_id", "day", "channel_id")
        .agg(F.collect_list("user_id").alias("people"))
        .where(F.size("people").between(2, LARGEST_CHANNEL))
        .withColumn("weight", 1 / F.log1p(F.size("people")))
    )
    pairs = (
        posters.withColumn("user_id", F.explode("people"))
        .withColumn("peer_id", F.explode("people"))
        .where("user_id <> peer_id")
        .groupBy(*KEYS)
        .agg(F.sum("weight").cast("float").alias("shared_channels_90d"))
    )
    return top(pairs, ["user_id"], "shared_channels_90d", "peer_id", MOST_BY_CHANNELS)


user_user_affinity = OfflineTable("user_user_affinity", ("user_id", "peer_id"), build)
