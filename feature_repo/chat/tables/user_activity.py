"""How active a user is: one row per person who did anything in 90 days."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.acts import mentions, reactions
from feature_repo.chat.people import by_people, members, messages, posts, without_bots
from feature_repo.tables import Inputs, OfflineTable
from feature_repo.windows import Snapshots, days_since, spread, stack, total

KEYS = ("workspace_id", "day", "user_id")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Messages, active days, channels, threads, mentions and reactions in 7, 30 and 90 days."""
    facts = stack(
        spread(_acts(inputs), days),
        posts(inputs, days),
        _threads(inputs, days),
        members(inputs, days).select(*KEYS, "since"),
    )
    wrote = F.count("messages_90d") > 0
    rows = facts.groupBy(*KEYS).agg(
        *(total("active", n).alias(f"active_days_{n}d") for n in (30, 90)),
        *(F.sum(f"messages_{n}d").cast("float").alias(f"messages_{n}d") for n in (7, 30, 90)),
        *(
            F.when(wrote, F.count_if(F.col(f"messages_{n}d") > 0)).cast("float").alias(f"channels_{n}d")
            for n in (30, 90)
        ),
        F.when(wrote, F.count("thread_id")).cast("float").alias("threads_30d"),
        days_since(F.max("last_at")).alias("days_since_message"),
        total("mentions_made", 30).alias("mentions_made_30d"),
        *(total("mentions_received", n).alias(f"mentions_received_{n}d") for n in (30, 90)),
        *(total(name, 30, span=30).alias(f"{name}_30d") for name in ("reactions_made", "reactions_received")),
        F.nullifzero(F.count("since")).cast("float").alias("channels_joined"),
        days_since(F.min("since")).alias("tenure_days"),
    )
    return without_bots(rows.where("active_days_90d > 0"), inputs)


def _acts(inputs: Inputs) -> DataFrame:
    """What a user did and met with, a row per day: presence, mentions and reactions, made and received.

    Presence is any message, reaction or joining. Columns: ``workspace_id, day, user_id, active`` (1 or 0),
    ``mentions_made, mentions_received, reactions_made, reactions_received``.
    """
    acts = stack(
        _by(messages(inputs), active=1),
        _by(by_people(inputs, "memberships").where("joined"), active=1),
        _by(mentions(inputs), mentions_made=1, mentions_received=0),
        _by(mentions(inputs), "mentioned_user_id", mentions_made=0, mentions_received=1),
        _by(reactions(inputs), active=1, reactions_made=F.col("count"), reactions_received=0),
        _by(reactions(inputs), "author_id", reactions_made=0, reactions_received=F.col("count")),
    )
    counts = ("mentions_made", "mentions_received", "reactions_made", "reactions_received")
    return acts.groupBy("workspace_id", "day", "user_id").agg(
        F.max("active").alias("active"), *(F.sum(name).alias(name) for name in counts)
    )


def _by(acts: DataFrame, user: str = "user_id", **counts: int | Column) -> DataFrame:
    """What each act counts for, laid to ``user``."""
    columns = (F.lit(value).cast("int").alias(name) for name, value in counts.items())
    return acts.select("workspace_id", "day", F.col(user).alias("user_id"), *columns)


def _threads(inputs: Inputs, days: Snapshots) -> DataFrame:
    """The different threads that a user wrote in within 30 days: ``workspace_id, day, user_id, thread_id``."""
    thread = ("workspace_id", "day", "user_id", "thread_id")
    written = messages(inputs).where("NOT is_direct AND thread_id IS NOT NULL").select(*thread).distinct()
    return spread(written, days, 30).select(*thread).distinct()


user_activity = OfflineTable("user_activity", ("user_id",), build)
