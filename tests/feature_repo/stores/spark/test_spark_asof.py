"""The Spark as-of join against the brute-force oracle, on rows that collide as often as they can.

A Spark job costs as much for a hundred small cases as for one: an example is many *worlds* in one pair of frames,
told apart by a key of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from feature_repo.stores.spark import asof
from feature_repo.stores.spark.asof import FeatureRows, asof_join
from feature_repo.stores.spark.instants import pruned
from feature_repo.stores.spark.latest import latest as latest_rows
from tests.feature_repo.stores.oracle import (
    TIES,
    EntityRow,
    FeatureRow,
    Value,
    in_hindsight,
    latest,
    same,
    tied,
)
from tests.feature_repo.stores.oracle import asof_join as oracle

pytestmark = pytest.mark.slow

START = datetime(2024, 3, 10, 6, 55, tzinfo=UTC)
"""Minutes before the clocks of New York skip an hour."""


@dataclass(frozen=True)
class World:
    """Rows of one case."""

    features: list[FeatureRow]
    entities: list[EntityRow]


instants = st.integers(0, 12).map(lambda minutes: START + timedelta(minutes=minutes))
keys = st.tuples(st.sampled_from([1, 2, None]), st.sampled_from(["a", "b", None]))
values = st.tuples(st.sampled_from([0.5, float("nan"), None, -1.0]), st.sampled_from([7, None, 8]))
feature_rows = st.builds(FeatureRow, keys, st.none() | instants, st.none() | instants, values)
entity_rows = st.builds(EntityRow, keys, st.none() | instants)
worlds = st.builds(World, st.lists(feature_rows, max_size=10), st.lists(entity_rows, max_size=6))
ttls = st.sampled_from([None, timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(days=900)])
time_types = st.sampled_from([pa.timestamp("us"), pa.timestamp("us", "UTC")])


@pytest.fixture(scope="module", params=["UTC", "America/New_York"])
def spark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from feature_repo.spark import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(tmp_path_factory.mktemp("spark")))
        found = session("tests of stores")
        before = found.conf.get("spark.sql.session.timeZone")
        found.conf.set("spark.sql.session.timeZone", request.param)
        yield found
        found.conf.set("spark.sql.session.timeZone", before)


def _frame(spark: SparkSession, columns: dict[str, pa.Array]) -> DataFrame:
    table = pa.table(columns)
    return spark.createDataFrame(table, from_arrow_schema(table.schema, prefer_timestamp_ntz=True))


def _instants(column: Sequence[datetime | None], held: pa.DataType) -> pa.Array:
    return pa.array(column, pa.timestamp("us", "UTC")).cast(held)


def _feature_frame(spark: SparkSession, worlds: Sequence[World], held: pa.DataType) -> DataFrame:
    rows = [(number, row) for number, world in enumerate(worlds) for row in world.features]
    return _frame(
        spark,
        {
            "world": pa.array([number for number, _ in rows], pa.int32()),
            "user": pa.array([row.keys[0] for _, row in rows], pa.int64()),
            "room": pa.array([row.keys[1] for _, row in rows], pa.string()),
            "at": _instants([row.event for _, row in rows], held),
            "written": _instants([row.created for _, row in rows], held),
            "a": pa.array([row.values[0] for _, row in rows], pa.float64()),
            "b": pa.array([row.values[1] for _, row in rows], pa.int32()),
        },
    )


def _entity_frame(spark: SparkSession, worlds: Sequence[World], held: pa.DataType) -> DataFrame:
    rows = [(number, row) for number, world in enumerate(worlds) for row in world.entities]
    return _frame(
        spark,
        {
            "position": pa.array(range(len(rows)), pa.int64()),
            "world": pa.array([number for number, _ in rows], pa.int64()),
            "user_id": pa.array([row.keys[0] for _, row in rows], pa.int32()),
            "room": pa.array([row.keys[1] for _, row in rows], pa.string()),
            "asked": _instants([row.instant for _, row in rows], held),
        },
    )


KEYS = (("world", "world"), ("user_id", "user"), ("room", "room"))


def _view(frame: DataFrame, prefix: str = "", **changes: object) -> FeatureRows:
    view = {
        "rows": frame,
        "keys": KEYS,
        "features": ((f"{prefix}b", "b"), (f"{prefix}a", "a")),
        "event_timestamp": "at",
        "created": "written",
    }
    return FeatureRows(**view | changes)  # type: ignore[arg-type]


def _collected(joined: DataFrame) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = joined.toArrow().sort_by("position").to_pylist()
    return rows


def _assert_exact(
    rows: Sequence[dict[str, Value]], winners: Sequence[FeatureRow | None], prefix: str = ""
) -> None:
    assert [row["position"] for row in rows] == list(range(len(winners)))
    for row, winner in zip(rows, winners, strict=True):
        expected: tuple[Value, ...] = winner.values if winner else (None, None)
        found = (row[f"{prefix}a"], row[f"{prefix}b"])
        assert all(map(same, found, expected)), f"{row} instead of {winner}"


LATE_AND_OLDER = World(
    features=[
        FeatureRow((1, "a"), START + timedelta(minutes=5), START + timedelta(minutes=6), (0.5, 7)),
        FeatureRow((1, "a"), START + timedelta(minutes=2), START + timedelta(minutes=8), (-1.0, 8)),
    ],
    entities=[EntityRow((1, "a"), START + timedelta(minutes=minutes)) for minutes in (5, 6, 7, 8, 9)],
)
"""What becomes known last is not the latest."""


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(worlds, min_size=5, max_size=25), ttls, time_types, st.booleans())
@example([LATE_AND_OLDER], None, pa.timestamp("us"), False)
@example([], None, pa.timestamp("us"), False)
@example([World([], LATE_AND_OLDER.entities)], timedelta(minutes=5), pa.timestamp("us", "UTC"), False)
def test_whatever_the_rows_the_join_is_the_oracles(
    spark: SparkSession, worlds: list[World], ttl: timedelta | None, held: pa.DataType, dealt: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Whether small tables are replicated is a matter of speed alone.
        patch.setattr(asof, "REPLICATED_BYTES", 2**40 if dealt else 0)
        view = _view(_feature_frame(spark, worlds, held), ttl=ttl)
        joined = asof_join(_entity_frame(spark, worlds, held), "asked", [view])
        assert joined.columns == ["position", "world", "user_id", "room", "asked", "b", "a"]
        _assert_exact(_collected(joined), [w for x in worlds for w in oracle(x.entities, x.features, ttl)])


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(worlds, min_size=10, max_size=25))
def test_views_with_the_same_keys_and_with_fewer_do_not_disturb_each_other(
    spark: SparkSession, worlds: list[World]
) -> None:
    rows = _feature_frame(spark, worlds, pa.timestamp("us"))
    ttl = timedelta(minutes=3)
    views = [
        _view(rows, "in_time__", ttl=ttl),
        _view(rows, "in_hindsight__", hindsight=True),
        _view(rows, "of_user__", keys=KEYS[:2]),
    ]
    found = _collected(asof_join(_entity_frame(spark, worlds, pa.timestamp("us")), "asked", views))
    expected: dict[str, list[FeatureRow | None]] = {
        "in_time__": [w for x in worlds for w in oracle(x.entities, x.features, ttl)],
        "in_hindsight__": [w for x in worlds for w in in_hindsight(x.entities, x.features)],
        "of_user__": [w for x in worlds for w in oracle(*_of_user(x))],
    }
    for prefix, winners in expected.items():
        _assert_exact(found, winners, prefix)


def _of_user(world: World) -> tuple[list[EntityRow], list[FeatureRow]]:
    entities = [EntityRow(row.keys[:1], row.instant) for row in world.entities]
    features = [FeatureRow(row.keys[:1], row.event, row.created, row.values) for row in world.features]
    return entities, features


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(worlds, min_size=10, max_size=25), instants, st.integers(0, 8), time_types)
def test_the_latest_rows_are_the_oracles(
    spark: SparkSession, worlds: list[World], start: datetime, minutes: int, held: pa.DataType
) -> None:
    end = start + timedelta(minutes=minutes)
    rows = pruned(_feature_frame(spark, worlds, held), "at", start, end)
    found = latest_rows(rows, ("world", "user", "room"), ("b", "a"), "at", "written").toArrow().to_pylist()
    expected = {
        (n, *k): w for n, world in enumerate(worlds) for k, w in latest(world.features, start, end).items()
    }
    assert len(found) == len(expected)
    for row in found:
        assert all(map(same, (row["a"], row["b"]), expected[row["world"], row["user"], row["room"]].values))


def test_of_equal_rows_the_greatest_wins_in_any_order(spark: SparkSession) -> None:
    rows = [tied(START, ties) for ties in TIES.values()]
    worlds = [World(r, [EntityRow((1, "a"), START)]) for tie in rows for r in (tie, tie[::-1])]
    winners: list[FeatureRow | None] = [tie[-1] for tie in rows for _ in range(2)]
    frame = _feature_frame(spark, worlds, pa.timestamp("us"))
    joined = asof_join(_entity_frame(spark, worlds, pa.timestamp("us")), "asked", [_view(frame)])
    _assert_exact(_collected(joined), winners)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(microseconds=1)])
def test_the_ttl_includes_its_last_microsecond(spark: SparkSession, ahead: timedelta) -> None:
    ttl = timedelta(minutes=5)
    world = World([FeatureRow((1, "a"), START, START, (0.5, 7))], [EntityRow((1, "a"), START + ttl + ahead)])
    view = _view(_feature_frame(spark, [world], pa.timestamp("us")), ttl=ttl)
    joined = asof_join(_entity_frame(spark, [world], pa.timestamp("us")), "asked", [view])
    assert [row["b"] for row in _collected(joined)] == ([None] if ahead else [7])


def test_values_of_every_kind_come_back_as_they_were(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql(
        "SELECT 1 AS id, TIMESTAMP '2024-01-01' AS at, 'text' AS s, X'00FF' AS y, DATE '2020-02-02' AS d, "
        "CAST(2 AS SMALLINT) AS h, CAST(3 AS SMALLINT) AS i, ARRAY(1, NULL, 3) AS l, MAP('k', 1.5D) AS m, "
        "STRUCT(1 AS x, ARRAY('u') AS y) AS t, true AS p, false AS q, CAST(NULL AS FLOAT) AS u, "
        "CAST('NaN' AS FLOAT) AS v, CAST(12.34 AS DECIMAL(9, 2)) AS w, TIMESTAMP_NTZ '2024-03-10 02:30:00' AS z"
    ).write.parquet(str(tmp_path / "rows"))
    rows = spark.read.parquet(str(tmp_path / "rows"))
    names = [name for name in rows.columns if name not in ("id", "at")]
    view = FeatureRows(
        rows, (("id", "id"),), tuple((f"f_{n}", n) for n in names), "at", ttl=timedelta(days=9)
    )
    asked = spark.sql("SELECT id, TIMESTAMP '2024-01-02' AS event_timestamp FROM VALUES (1), (2) AS t(id)")
    joined = asof_join(asked, "event_timestamp", [view])
    assert [field.dataType for field in joined.select(*(f"f_{n}" for n in names)).schema] == [
        rows.schema[name].dataType for name in names
    ]
    found = {row["id"]: row for row in joined.toArrow().to_pylist()}
    given_values = rows.toArrow().to_pylist()[0]
    assert all(found[2][f"f_{name}"] is None for name in names)
    differing = [n for n in names if found[1][f"f_{n}"] != given_values[n]]
    assert differing == ["v"], "NaN alone is not equal to itself"
    assert found[1]["f_v"] != found[1]["f_v"]


@pytest.mark.parametrize(
    ("key", "words"), [("CAST(1 AS STRING)", "is string, while"), ("1 AS other, 2", "no column 'id'")]
)
def test_a_key_that_cannot_match_is_refused(spark: SparkSession, key: str, words: str) -> None:
    rows = spark.sql("SELECT 1L AS id, TIMESTAMP '2024-01-01' AS at, 1.0 AS x")
    named = "id" if "STRING" in key else "another"
    asked = spark.sql(f"SELECT {key} AS {named}, TIMESTAMP '2024-01-02' AS event_timestamp")
    with pytest.raises(ValueError, match=words):
        asof_join(asked, "event_timestamp", [FeatureRows(rows, (("id", "id"),), (("x", "x"),), "at")])


def test_a_key_that_the_entity_rows_cannot_hold_is_nobodys(spark: SparkSession) -> None:
    rows = spark.sql(
        f"SELECT id, TIMESTAMP '2024-01-01' AS at, id AS x FROM VALUES (1L), ({2**40 + 1}L) AS t(id)"
    )
    asked = spark.sql("SELECT CAST(1 AS SMALLINT) AS id, TIMESTAMP '2024-01-02' AS event_timestamp")
    joined = asof_join(asked, "event_timestamp", [FeatureRows(rows, (("id", "id"),), (("x", "x"),), "at")])
    assert [row["x"] for row in joined.collect()] == [1]


def test_a_feature_does_not_take_the_name_of_a_column(spark: SparkSession) -> None:
    rows = spark.sql("SELECT 1L AS id, TIMESTAMP '2024-01-01' AS at, 1.0 AS x")
    asked = spark.sql("SELECT 1L AS id, 'mine' AS X, TIMESTAMP '2024-01-02' AS event_timestamp")
    with pytest.raises(ValueError, match="full_feature_names"):
        asof_join(asked, "event_timestamp", [FeatureRows(rows, (("id", "id"),), (("x", "x"),), "at")])


@pytest.mark.slow
def test_a_key_with_a_million_rows_on_both_sides_is_joined(spark: SparkSession) -> None:
    """Every second has a row; the entity row half a second later has its number."""
    million = 10**6
    rows = spark.range(million).select(
        F.lit(1).alias("id"), F.timestamp_seconds("id").alias("at"), F.col("id").alias("n")
    )
    asked = spark.range(million).select(
        F.lit(1).alias("id"),
        F.timestamp_millis(F.col("id") * 1000 + 500).alias("event_timestamp"),
        F.col("id").alias("of"),
    )
    joined = asof_join(asked, "event_timestamp", [FeatureRows(rows, (("id", "id"),), (("n", "n"),), "at")])
    assert joined.where("n = of").count() == million
