"""The edges of a window, the lengths at which lists end, and what several tables share."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.catalog import event_tables
from feature_repo.chat.events import CHANNELS, MENTIONS, MESSAGES, PUBLIC, USERS
from feature_repo.chat.tables import channel_activity, user_activity, user_user_affinity
from feature_repo.clock import midnight
from feature_repo.spark import read_events
from feature_repo.tables import Inputs, shared
from feature_repo.windows import Snapshots, best, days_since, spread, stack, top, total
from tests.hand_made import write_channels, write_events, write_people

pytestmark = pytest.mark.slow

DAY = date(2025, 6, 2)
MIDNIGHT = midnight(DAY)
LONG_AGO = MIDNIGHT - timedelta(days=200)
MICROSECOND = timedelta(microseconds=1)
ANN, BOB, CAT, PLAZA = 1 << 40 | 1, 1 << 40 | 2, 1 << 40 | 3, 1 << 40 | 9


def inputs(spark: SparkSession) -> Inputs:
    return Inputs({t.name: read_events(spark, t) for t in event_tables()})


def collect(rows: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict() for row in rows.collect()]


def write_place() -> None:
    write_people(LONG_AGO, [ANN, BOB, CAT])
    write_channels(LONG_AGO, {PLAZA: PUBLIC})


def write_posts(user: int, instants: Sequence[datetime]) -> None:
    rows = [
        {"at": at, "message_id": n, "user_id": user, "channel_id": PLAZA} for n, at in enumerate(instants)
    ]
    write_events(MESSAGES, rows)


@pytest.mark.usefixtures("home")
def test_midnight_is_not_seen_and_a_microsecond_earlier_is(spark: SparkSession) -> None:
    write_place()
    write_posts(ANN, [MIDNIGHT - MICROSECOND, MIDNIGHT])
    days = Snapshots((DAY,))
    (user,) = collect(user_activity.build(inputs(spark), days))
    (channel,) = collect(channel_activity.build(inputs(spark), days))
    assert user["messages_7d"] == channel["messages_7d"] == user["active_days_90d"] == 1
    assert 0 < user["days_since_message"] < 1e-4


@pytest.mark.usefixtures("home")
def test_a_profile_or_a_channel_of_midnight_is_not_known(spark: SparkSession) -> None:
    write_place()
    write_posts(ANN, [MIDNIGHT - MICROSECOND])
    write_events(USERS, [{"at": MIDNIGHT, "user_id": ANN, "is_bot": True}])
    write_events(CHANNELS, [{"at": MIDNIGHT, "channel_id": PLAZA, "kind": PUBLIC, "is_archived": True}])
    days = Snapshots((DAY,))
    assert [r["user_id"] for r in collect(user_activity.build(inputs(spark), days))] == [ANN]
    assert [r["channel_id"] for r in collect(channel_activity.build(inputs(spark), days))] == [PLAZA]
    later = Snapshots((DAY + timedelta(days=1),))
    assert collect(user_activity.build(inputs(spark), later)) == []
    assert collect(channel_activity.build(inputs(spark), later)) == []


@pytest.mark.usefixtures("home")
def test_a_pair_leaves_after_ninety_silent_days(spark: SparkSession) -> None:
    write_place()
    for n, (user, peer, days) in enumerate(((ANN, BOB, 90), (ANN, CAT, 91))):
        mention = {"message_id": n, "user_id": user, "channel_id": PLAZA, "is_quote": False}
        write_events(
            MENTIONS, [{"at": MIDNIGHT - timedelta(days=days), "mentioned_user_id": peer, **mention}]
        )
    rows = collect(user_user_affinity.build(inputs(spark), Snapshots((DAY,))))
    assert {(r["user_id"], r["peer_id"]) for r in rows} == {(ANN, BOB), (BOB, ANN)}
    assert {r["mentions_made_90d"] for r in rows} == {0, 1}
    assert {r["mentions_made_30d"] for r in rows} == {0}


def test_each_snapshot_sees_each_day_once_at_its_age(spark: SparkSession) -> None:
    events = spark.createDataFrame(pa.table({"day": [DAY - timedelta(days=n) for n in range(-1, 6)]}))
    days = (DAY, DAY - timedelta(days=2))
    seen = {(r["day"], r["age"]) for r in collect(spread(events, Snapshots(days), span=3))}
    assert seen == {(day, age) for day in days for age in (1, 2, 3)}


def test_a_total_is_null_only_where_the_widest_span_has_no_value(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("recent", 1, 2), ("old", 40, 3), ("older", 60, 4), ("never", 5, None)], "who string, age int, n int"
    )
    totals = rows.groupBy("who").agg(total("n", 30).alias("n30"), total("n", 30, span=50).alias("n30of50"))
    assert {r["who"]: (r["n30"], r["n30of50"]) for r in collect(totals)} == {
        "recent": (2, 2),
        "old": (0, 0),
        "older": (0, None),
        "never": (None, None),
    }


def test_days_since_counts_to_the_midnight_that_begins_the_day(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(DAY, MIDNIGHT - timedelta(hours=36)), (DAY, None)], "day date, at timestamp"
    )
    found = collect(rows.select(days_since(F.col("at")).alias("days")))
    assert [r["days"] for r in found] == [1.5, None]


def test_the_best_are_cut_to_length_and_ties_go_to_the_lower_id(spark: SparkSession) -> None:
    scored = [(9, 1.0), (7, 3.0), (8, 1.0), (6, None), (5, 0.0)]
    rows = spark.createDataFrame(
        [(1, DAY, *s) for s in scored], "workspace_id long, day date, id long, s double"
    )
    of_all = rows.groupBy("day").agg(
        best("id", [F.col("s")], 3).alias("three"),
        best("id", [F.col("s")], 9).alias("all"),
        best("id", [F.col("s")], 9, where=F.col("s") > 0).alias("above"),
        best("id", [F.col("s")], 9, where=F.col("s") > 5).alias("none"),
    )
    (found,) = collect(of_all)
    assert found["three"] == [7, 8, 9]
    assert found["all"] == [7, 8, 9, 5, 6]
    assert found["above"] == [7, 8, 9]
    assert found["none"] is None
    assert sorted(r["id"] for r in collect(top(rows.where("s > 0"), [], "s", "id", 2))) == [7, 8]


def test_a_stack_has_every_column_and_nulls_where_a_frame_lacks_it(spark: SparkSession) -> None:
    left, right = (
        spark.createDataFrame([(1, 2)], "k int, a int"),
        spark.createDataFrame([(3, 1)], "b int, k int"),
    )
    assert collect(stack(left, right)) == [{"k": 1, "a": 2, "b": None}, {"k": 1, "a": None, "b": 3}]


def test_what_is_shared_is_derived_once_and_let_go_with_its_days(spark: SparkSession) -> None:
    calls: list[Snapshots | None] = []

    @shared
    def of_run(inputs: Inputs) -> DataFrame:
        calls.append(None)
        return inputs["numbers"].selectExpr("id + 1 AS id")

    @shared
    def of_days(inputs: Inputs, days: Snapshots) -> DataFrame:
        calls.append(days)
        return inputs["numbers"].selectExpr("id + 2 AS id")

    given = Inputs({"numbers": spark.range(3)})
    first, second = Snapshots((DAY,)), Snapshots((DAY + timedelta(days=1),))
    frame = of_days(given, first)
    assert frame.is_cached
    assert [r["id"] for r in collect(frame)] == [2, 3, 4]
    for days in (first, first, second):
        of_run(given)
        of_days(given, days)
    assert calls == [first, None, second]
    given.derived.release(but=second)
    assert not frame.is_cached
    of_run(given)
    of_days(given, second)
    of_days(given, first)
    assert calls == [first, None, second, first]
    given.derived.release()
    assert not of_run(Inputs({"numbers": spark.range(1)}, given.derived)).where("id > 1").count()
