"""How alive a channel is: one row per public channel, whatever happened in it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.chat.acts import channel_links, reactions
from feature_repo.chat.people import channels, is_public, members, memberships, posts
from feature_repo.tables import Inputs, OfflineTable
from feature_repo.windows import Snapshots, days_since, spread, stack, total

KEYS = ("workspace_id", "day", "channel_id")


def build(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Messages, posters, newcomers, links, reactions and members in 7, 30 and 90 days."""
    facts = stack(
        spread(_acts(inputs), days),
        posts(inputs, days),
        members(inputs, days).select(*KEYS, F.col("user_id").alias("member")),
    )
    counted = facts.groupBy(*KEYS).agg(
        *(F.sum(f"messages_{n}d").cast("float").alias(f"messages_{n}d") for n in (7, 30, 90)),
        *(
            F.when(F.count("messages_90d") > 0, F.count_if(F.col(f"messages_{n}d") > 0))
            .cast("float")
            .alias(f"posters_{n}d")
            for n in (7, 30, 90)
        ),
        days_since(F.max("last_at")).alias("days_since_message"),
        *(total("newcomers", n).alias(f"newcomers_{n}d") for n in (7, 30, 90)),
        *(total(name, 30, span=30).alias(f"{name}_30d") for name in ("links", "reactions")),
        F.nullifzero(F.count("member")).cast("float").alias("members"),
    )
    public = channels(inputs, days).where(is_public())
    aged = public.select(*KEYS, days_since(F.col("created")).alias("age_days"))
    return aged.join(counted, list(KEYS), "left")


def _acts(inputs: Inputs) -> DataFrame:
    """What happened in a channel beside messages: ``workspace_id, day, channel_id``, and counts of that day."""
    entered = memberships(inputs).withColumn("day", F.to_date("since"))
    facts = stack(
        entered.select(*KEYS, F.lit(1).alias("newcomers")),
        channel_links(inputs).select(*KEYS, F.lit(1).alias("links")),
        reactions(inputs).select(*KEYS, F.col("count").cast("int").alias("reactions")),
    )
    return facts.groupBy(*KEYS).agg(*(F.sum(n).alias(n) for n in ("newcomers", "links", "reactions")))


channel_activity = OfflineTable("channel_activity", ("channel_id",), build)
