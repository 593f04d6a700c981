"""The DuckDB as-of join against the brute-force oracle, on rows that collide as often as they can."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from feast.data_format import ParquetFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.duckdb.join import AsofJoin, RequestedView
from feature_repo.stores.duckdb.pull import Pull
from feature_repo.stores.duckdb.scan import Session
from feature_repo.stores.entity_rows import EntityRows
from feature_repo.stores.period import Period, microseconds
from tests.feature_repo.stores.oracle import (
    TIES,
    EntityRow,
    FeatureRow,
    Tie,
    Value,
    asof_join,
    in_hindsight,
    latest,
    same,
    tied,
)

START = datetime(2024, 3, 1, tzinfo=UTC)
ONE_THREAD = Session(threads=1)  # the examples are tiny
PROBED, UNPROBED = 0, 1000

instants = st.integers(0, 12).map(lambda minutes: START + timedelta(minutes=minutes))
texts = st.sampled_from(["a", "b", None])
numbers = st.sampled_from([1, 2, None])
keys = st.tuples(numbers, texts)
values = st.tuples(st.sampled_from([0.5, float("nan"), None, -1.0]), st.sampled_from([7, None, 8]))
feature_rows = st.lists(st.builds(FeatureRow, keys, instants, st.none() | instants, values), max_size=20)
in_time = st.lists(
    st.builds(lambda k, e, v: FeatureRow(k, e, e, v), keys, instants, values),
    max_size=20,
    unique_by=lambda row: (row.keys, row.event),
)
distinct = st.lists(
    st.builds(FeatureRow, keys, instants, st.none() | instants, values),
    max_size=20,
    unique_by=lambda row: (row.keys, row.event),
)
entity_rows = st.lists(st.builds(EntityRow, keys, st.none() | instants), max_size=20)
ttls = st.sampled_from([None, timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(days=900)])
time_types = st.sampled_from(
    [
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "Asia/Tokyo"),
        pa.timestamp("ns", "America/New_York"),
    ]
)


def _instants(column: Sequence[datetime | None], held: pa.DataType) -> pa.Array:
    return pa.array(column, pa.timestamp("us", "UTC")).cast(held)


def _write(path: Path, rows: Sequence[FeatureRow], held: pa.DataType) -> None:
    table = pa.table(
        {
            "user": pa.array([row.keys[0] for row in rows], pa.int64()),
            "room": pa.array([row.keys[1] for row in rows], pa.string()),
            "at": _instants([row.event for row in rows], held),
            "written": _instants([row.created for row in rows], held),
            "a": pa.array([row.values[0] for row in rows], pa.float64()),
            "b": pa.array([row.values[1] for row in rows], pa.int32()),
        }
    )
    pq.write_table(table, path, row_group_size=5)


def _source(path: Path) -> FileSource:
    return FileSource(
        path=str(path), file_format=ParquetFormat(), timestamp_field="at", created_timestamp_column="written"
    )


def _joined(
    path: Path,
    entities: Sequence[EntityRow],
    ttl: timedelta | None,
    held: pa.DataType,
    few_rows: int,
    *,
    hindsight: bool = False,
) -> pa.Table:
    rows = pa.table(
        {
            "position": pa.array(range(len(entities)), pa.int16()),
            "event_timestamp": _instants([row.instant for row in entities], held),
            "user_id": pa.array([row.keys[0] for row in entities], pa.int32()),
            "room": pa.array([row.keys[1] for row in entities], pa.string()).dictionary_encode(),
        }
    )
    view = RequestedView(
        name="view",
        source=_source(path),
        join_keys=(("user_id", "user"), ("room", "room")),
        features=(("view__b", "b"), ("view__a", "a")),
        all_features=("a", "b"),
        ttl=ttl or None,
        hindsight=hindsight,
    )
    join = AsofJoin(ONE_THREAD, EntityRows.of(rows), (view,), few_rows=few_rows)
    return join.reader(4).read_all()


def _assert_exact(
    result: pa.Table, entities: Sequence[EntityRow], winners: Sequence[FeatureRow | None]
) -> None:
    assert result.column_names == ["position", "event_timestamp", "user_id", "room", "view__b", "view__a"]
    assert result.column("position").to_pylist() == list(range(len(entities)))
    found = zip(result.column("view__a").to_pylist(), result.column("view__b").to_pylist(), strict=True)
    for entity, winner, pair in zip(entities, winners, found, strict=True):
        expected: tuple[Value, ...] = winner.values if winner else (None, None)
        assert all(map(same, pair, expected)), f"{entity}: {pair} instead of {winner}"


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features") / "rows.parquet"


@pytest.mark.parametrize("few_rows", [PROBED, UNPROBED])
@settings(max_examples=60)
@given(feature_rows, entity_rows, ttls, time_types)
def test_whatever_the_rows_the_join_is_the_oracles(
    parquet: Path,
    few_rows: int,
    features: list[FeatureRow],
    entities: list[EntityRow],
    ttl: timedelta | None,
    held: pa.DataType,
) -> None:
    _write(parquet, features, held)
    result = _joined(parquet, entities, ttl, held, few_rows)
    _assert_exact(result, entities, asof_join(entities, features, ttl))


@pytest.mark.parametrize("few_rows", [PROBED, UNPROBED])
@pytest.mark.parametrize("ties", TIES.values(), ids=TIES)
def test_of_equal_rows_the_greatest_wins_in_any_order(parquet: Path, few_rows: int, ties: list[Tie]) -> None:
    features = tied(START, ties)
    entities = [EntityRow((1, "a"), START)]
    for rows in (features, features[::-1]):
        _write(parquet, rows, pa.timestamp("us"))
        result = _joined(parquet, entities, None, pa.timestamp("us"), few_rows)
        _assert_exact(result, entities, [features[-1]])
        assert asof_join(entities, rows) == [features[-1]]


@pytest.mark.parametrize("few_rows", [PROBED, UNPROBED])
def test_of_rows_that_become_known_at_once_the_later_event_wins(parquet: Path, few_rows: int) -> None:
    known = START + timedelta(minutes=5)
    early = FeatureRow((1, "a"), START, known, (0.5, 8))
    later = FeatureRow((1, "a"), START + timedelta(minutes=1), known, (-1.0, 7))
    entities = [EntityRow((1, "a"), known)]
    for rows in ([early, later], [later, early]):
        _write(parquet, rows, pa.timestamp("us"))
        _assert_exact(_joined(parquet, entities, None, pa.timestamp("us"), few_rows), entities, [later])


@pytest.mark.parametrize("few_rows", [PROBED, UNPROBED])
@settings(max_examples=20)
@given(feature_rows, entity_rows)
def test_in_hindsight_a_row_counts_from_its_event_on(
    parquet: Path, few_rows: int, features: list[FeatureRow], entities: list[EntityRow]
) -> None:
    _write(parquet, features, pa.timestamp("us"))
    result = _joined(parquet, entities, None, pa.timestamp("us"), few_rows, hindsight=True)
    _assert_exact(result, entities, in_hindsight(entities, features))


@pytest.mark.parametrize("ttl", [None, timedelta(minutes=9)])
def test_what_ties_or_is_late_before_the_first_entity_row_is_seen(
    parquet: Path, ttl: timedelta | None
) -> None:
    minute = [START + timedelta(minutes=m) for m in range(10)]
    ties = [FeatureRow((1, "a"), minute[1], minute[1], (0.5, n)) for n in (8, 9, 7)]
    late = [
        FeatureRow((2, "a"), minute[1], minute[1], (0.5, 1)),
        FeatureRow((2, "a"), minute[2], minute[9], (0.5, 2)),
    ]
    entities = [EntityRow((1, "a"), minute[8]), EntityRow((2, "a"), minute[8])]
    for features in (ties, late):
        _write(parquet, features, pa.timestamp("us"))
        result = _joined(parquet, entities, ttl, pa.timestamp("us"), PROBED)
        _assert_exact(result, entities, asof_join(entities, features, ttl))


@settings(max_examples=40)
@given(in_time | distinct, entity_rows, ttls)
def test_rows_that_are_distinct_take_short_cuts_and_give_the_same(
    parquet: Path, features: list[FeatureRow], entities: list[EntityRow], ttl: timedelta | None
) -> None:
    _write(parquet, features, pa.timestamp("us"))
    result = _joined(parquet, entities, ttl, pa.timestamp("us"), PROBED)
    _assert_exact(result, entities, asof_join(entities, features, ttl))


def _latest(path: Path, start: datetime, end: datetime) -> list[dict[str, Any]]:
    pull = Pull(
        session=ONE_THREAD,
        source=_source(path),
        join_keys=("user", "room"),
        features=("a", "b"),
        timestamp="at",
        created="written",
        period=Period(microseconds(start), microseconds(end)),
        latest=True,
    )
    rows: list[dict[str, Any]] = pull.reader(3).read_all().to_pylist()
    return rows


@pytest.mark.parametrize("ties", TIES.values(), ids=TIES)
def test_the_latest_of_equal_rows_is_the_greatest_in_any_order(parquet: Path, ties: list[Tie]) -> None:
    features = tied(START, ties)
    for rows in (features, features[::-1]):
        _write(parquet, rows, pa.timestamp("us"))
        (found,) = _latest(parquet, START, START)
        assert all(map(same, (found["a"], found["b"]), features[-1].values))


@settings(max_examples=40)
@given(feature_rows, instants, st.integers(0, 8), time_types)
def test_the_latest_rows_are_the_oracles(
    parquet: Path, features: list[FeatureRow], start: datetime, minutes: int, held: pa.DataType
) -> None:
    end = start + timedelta(minutes=minutes)
    _write(parquet, features, held)
    found = _latest(parquet, start, end)
    expected = latest(features, start, end)
    assert len(found) == len(expected)
    for row in found:
        winner = expected[row["user"], row["room"]]
        assert microseconds(row["at"]) == microseconds(winner.event or START)
        assert all(map(same, (row["a"], row["b"]), winner.values))


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(microseconds=1)])
def test_the_ttl_includes_its_last_microsecond(parquet: Path, ahead: timedelta) -> None:
    ttl = timedelta(minutes=5)
    _write(parquet, [FeatureRow((1, "a"), START, START, (0.5, 7))], pa.timestamp("us"))
    entities = [EntityRow((1, "a"), START + ttl + ahead)]
    for few_rows in (PROBED, UNPROBED):
        result = _joined(parquet, entities, ttl, pa.timestamp("us"), few_rows)
        assert result.column("view__b").to_pylist() == ([None] if ahead else [7])


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_nanoseconds_within_the_last_microsecond_of_the_period_are_seen(
    parquet: Path, zone: str | None
) -> None:
    _write(parquet, [FeatureRow((1, "a"), START, None, (0.5, 7))], pa.timestamp("ns", zone))
    table = pq.read_table(parquet)
    late = pa.array(np.array([table.column("at")[0].value + 999]), pa.timestamp("ns", zone))
    pq.write_table(table.set_column(table.schema.get_field_index("at"), "at", late), parquet)
    result = _joined(parquet, [EntityRow((1, "a"), START)], timedelta(0), pa.timestamp("us"), UNPROBED)
    assert result.column("view__b").to_pylist() == [7]


@pytest.mark.parametrize("second", [0, -1_000_000])
def test_nanoseconds_of_entity_rows_are_rounded_down(second: int) -> None:
    nanoseconds = pa.array([second * 10**9 + 1_999, None], pa.timestamp("ns"))
    rows = EntityRows.of(pa.table({"event_timestamp": nanoseconds}))
    assert rows.instants().to_pylist() == [second * 10**6 + 1, None]


@settings(max_examples=20)
@given(st.lists(st.tuples(instants, st.integers(-11, 11)), min_size=1, max_size=8))
def test_an_instant_is_the_same_in_every_time_zone(
    parquet: Path, instants_and_offsets: list[tuple[datetime, int]]
) -> None:
    features = [FeatureRow((1, "a"), START + timedelta(minutes=m), None, (0.5, m)) for m in range(0, 12, 3)]
    _write(parquet, features, pa.timestamp("us"))
    elsewhere = [i.astimezone(timezone(timedelta(hours=h))) for i, h in instants_and_offsets]
    winners = asof_join([EntityRow((1, "a"), i) for i, _ in instants_and_offsets], features)
    rows = {"user_id": [1] * len(elsewhere), "room": ["a"] * len(elsewhere)}
    view = RequestedView(
        "view", _source(parquet), (("user_id", "user"), ("room", "room")), (("b", "b"),), ("a", "b")
    )
    for instant in (pa.array(elsewhere), pa.array([i.isoformat() for i in elsewhere])):
        table = pa.table(rows | {"event_timestamp": instant})
        result = AsofJoin(ONE_THREAD, EntityRows.of(table), (view,)).reader(100).read_all()
        assert result.column("b").to_pylist() == [w and w.values[1] for w in winners]
