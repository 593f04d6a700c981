"""What the DuckDB store reads: folders, files of uneven shape, timestamps of every kind; and what it refuses."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from feast.data_format import ParquetFormat

from feature_repo.stores.duckdb.asof_sql import Instant, Plan, Probe, TimestampType, plan
from feature_repo.stores.duckdb.join import AsofJoin, RequestedView, occurrences
from feature_repo.stores.duckdb.pull import Pull
from feature_repo.stores.duckdb.scan import Session, scan
from feature_repo.stores.entity_rows import EntityRows
from feature_repo.stores.period import Period, microseconds

DAY = datetime(2024, 3, 1)
ONE_THREAD = Session(threads=1)


def _view(path: Path, *features: str) -> RequestedView:
    source = FileSource(path=str(path), file_format=ParquetFormat(), timestamp_field="at")
    shown = tuple((f, f) for f in features)
    return RequestedView("view", source, (("user_id", "user_id"),), shown, features)


def _join(*views: RequestedView, instant: datetime = DAY + timedelta(days=9)) -> pa.Table:
    rows = pa.table({"user_id": [1], "event_timestamp": [instant]})
    return AsofJoin(ONE_THREAD, EntityRows.of(rows), views).reader(10).read_all()


def _write(path: Path, days_and_values: dict[int, float], **more: pa.Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "user_id": pa.array([1] * len(days_and_values)),
        "at": pa.array([DAY + timedelta(days=d) for d in days_and_values]),
        "value": pa.array(list(days_and_values.values())),
    }
    pq.write_table(pa.table(columns | more), path)


def test_files_at_any_depth_are_read_but_for_what_is_being_written(tmp_path: Path) -> None:
    _write(tmp_path / "year=2024" / "day=01" / "a.parquet", {0: 1.0})
    _write(tmp_path / "year=2024" / "day=02" / "a.parquet", {1: 2.0})
    _write(tmp_path / "_temporary" / "a.parquet", {2: 3.0})
    _write(tmp_path / "year=2024" / ".b.parquet", {3: 4.0})
    assert _join(_view(tmp_path, "value")).column("value").to_pylist() == [2.0]


def test_a_feature_that_later_files_have_is_null_in_the_earlier(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {0: 1.0})
    _write(tmp_path / "b.parquet", {1: 2.0}, likes=pa.array([7]))
    view = _view(tmp_path, "value", "likes")
    assert _join(view).column("likes").to_pylist() == [7]
    assert _join(view, instant=DAY).column("likes").to_pylist() == [None]


def test_a_column_that_was_widened_keeps_its_values(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {0: 1.0}, likes=pa.array([7], pa.int16()))
    _write(tmp_path / "b.parquet", {1: 2.0}, likes=pa.array([2**40]))
    assert _join(_view(tmp_path, "likes")).column("likes").to_pylist() == [2**40]


def test_a_table_without_rows_gives_nulls(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {0: 1.0})
    pq.write_table(pq.read_table(tmp_path / "a.parquet").slice(0, 0), tmp_path / "a.parquet")
    got = _join(_view(tmp_path, "value")).column("value")
    assert (got.to_pylist(), got.type) == ([None], pa.float64())


def test_a_table_without_files_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no Parquet file under {tmp_path}"):
        _join(_view(tmp_path, "value"))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(OSError, match=r"a\.parquet' too small"):
        _join(_view(tmp_path, "value"))


def test_a_missing_column_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {0: 1.0})
    with pytest.raises(ValueError, match=r"no column 'likes' \(it has user_id, at, value\)"):
        _join(_view(tmp_path, "likes"))


def test_an_occurrence_in_two_views_or_twice_in_one_is_one(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "a.parquet", {0: 1.0, 1: 2.0})
    _write(tmp_path / "a" / "b.parquet", {1: 3.0})
    _write(tmp_path / "b" / "a.parquet", {1: 1.0, 2: 2.0, 3: 4.0})
    views = (_view(tmp_path / "a", "value"), _view(tmp_path / "b", "value"))
    end = DAY + timedelta(days=2)
    found = occurrences(ONE_THREAD, views, Period(microseconds(DAY), microseconds(end)), None)
    days = [DAY.replace(tzinfo=UTC) + timedelta(days=d) for d in range(3)]
    assert found.table.to_pydict() == {"user_id": [1] * 3, "event_timestamp": days}


def test_a_timestamp_of_another_type_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": [1], "at": [1.5], "value": [1]}), tmp_path / "a.parquet")
    with pytest.raises(TypeError, match="column 'at' is double, not a timestamp"):
        _join(_view(tmp_path, "value"))


@pytest.mark.parametrize(
    "instant",
    [
        pa.array([DAY]),
        pa.array([DAY.replace(tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo")),
        pa.array([date(2024, 3, 1)]),
        pa.array(["2024-03-01 00:00:00"]),
        pa.array(["2024-03-01T05:00:00+05:00"]),
    ],
)
def test_timestamps_without_a_zone_are_utc_whatever_holds_them(tmp_path: Path, instant: pa.Array) -> None:
    pq.write_table(pa.table({"user_id": [1], "at": instant, "value": [1]}), tmp_path / "a.parquet")
    view = _view(tmp_path, "value")
    assert _join(view, instant=DAY).column("value").to_pylist() == [1]
    assert _join(view, instant=DAY - timedelta(microseconds=1)).column("value").to_pylist() == [None]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMPTZ_NS"])
def test_bounds_are_literals_that_parquet_can_skip_row_groups_by(kind: TimestampType) -> None:
    start, end = Instant("at", kind).between(Period(microseconds(DAY), microseconds(DAY)))
    offset = "+00" if "TZ" in kind else ""
    assert start == f"\"at\" >= '2024-03-01 00:00:00{offset}'::{kind}"
    assert end == f"\"at\" < '2024-03-01 00:00:00.000001{offset}'::{kind}"


def test_a_ttl_of_ten_thousand_years_is_for_ever(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {0: 1.0})
    view = _view(tmp_path, "value")
    endless = RequestedView(**(vars(view) | {"ttl": timedelta(days=3_650_000)}))
    assert _join(endless).column("value").to_pylist() == [1.0]


def test_one_row_groups_are_skipped_and_the_rest_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {0: 1.0, 5: 2.0})
    with ONE_THREAD.connect() as connection:
        source = _view(tmp_path).source
        found = scan(connection, source, ["at"], None)
        where = " AND ".join(found.instant("at").between(Period(microseconds(DAY + timedelta(days=5)), None)))
        assert connection.sql(f"SELECT count(*) FROM {found.relation} WHERE {where}").fetchall() == [(1,)]


def test_names_that_sql_would_trip_over(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "here"'
    folder.mkdir()
    table = pa.table({'user "id"': [1], "at": [DAY], "select": ["x"], "event": [3]})
    pq.write_table(table, folder / "a.parquet")
    source = FileSource(path=str(folder), file_format=ParquetFormat(), timestamp_field="at")
    view = RequestedView(
        "view",
        source,
        (("user_id", 'user "id"'),),
        (("a b", "select"), ("event", "event")),
        ("event", "select"),
    )
    assert _join(view).select(["a b", "event"]).to_pylist() == [{"a b": "x", "event": 3}]


def test_the_latest_of_lists_and_structs_is_told_by_their_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user_id": [1, 1, None],
            "at": [DAY] * 3,
            "ids": [[1, 2], [1, 3], [0]],
            "who": [{"a": 1}, {"a": 1}, None],
        }
    )
    for order in ([0, 1, 2], [1, 0, 2]):
        pq.write_table(table.take(order), tmp_path / "a.parquet")
        source = _view(tmp_path).source
        instant = microseconds(DAY)
        for latest, expected in ((True, [[1, 3], [0]]), (False, [[1, 2], [1, 3], [0]])):
            pull = Pull(
                ONE_THREAD, source, ("user_id",), ("ids", "who"), "at", None, Period(instant, instant), latest
            )
            found = pull.reader(10).read_all()
            assert found.column_names == ["user_id", "ids", "who", "at"]
            assert sorted(found.column("ids").to_pylist()) == sorted(expected)


def test_ties_go_by_every_feature_of_the_view_whichever_are_asked_for(tmp_path: Path) -> None:
    table = pa.table({"user_id": [1, 1], "at": [DAY] * 2, "a": [1, 2], "b": [9, 8]})
    pq.write_table(table, tmp_path / "a.parquet")
    asked = _view(tmp_path, "b")
    assert _join(RequestedView(**(vars(asked) | {"all_features": ("b", "a")}))).column("b").to_pylist() == [8]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (Probe(rows=9, distinct=9, late=False, keys=5, entity_keys=5), Plan(True, True, False)),
        (Probe(rows=9, distinct=8, late=False, keys=5, entity_keys=5), Plan(False, False, False)),
        (Probe(rows=9, distinct=9, late=True, keys=5, entity_keys=5), Plan(False, True, False)),
        (Probe(rows=9, distinct=9, late=False, keys=50, entity_keys=5), Plan(True, True, True)),
    ],
)
def test_rows_are_joined_as_they_are_only_if_none_ties_or_is_late(probe: Probe, expected: Plan) -> None:
    assert plan(probe) == expected


def test_a_query_spills_into_a_folder_that_goes_with_it(tmp_path: Path) -> None:
    session = Session(memory_limit="64MB", temp_directory=str(tmp_path / "spill"), threads=1)
    with session.connect() as connection:
        query = "SELECT count(*) FROM (SELECT * FROM range(4000000) t(n) ORDER BY hash(n), n)"
        connection.sql(
            f"SELECT max(r) FROM ({query.replace('count(*)', 'row_number() OVER (ORDER BY hash(n, 1)) AS r')})"
        ).fetchall()
        assert any(f.is_file() for f in tmp_path.rglob("*"))
    assert list((tmp_path / "spill").iterdir()) == []
