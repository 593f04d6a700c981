"""Which snapshots are built, in which order, and that a partition is replaced whole or not at all."""

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo import offline
from feature_repo.catalog import event_tables, offline_tables
from feature_repo.chat.events import MESSAGES, USERS
from feature_repo.clock import EARLIEST, midnight
from feature_repo.errors import RecommendError
from feature_repo.home import events_path, tables_path
from feature_repo.offline import SNAPSHOTS_A_JOB, Built, Step, check_as_of, steps, summary
from feature_repo.tables import CADENCES, Cadence, Inputs, OfflineTable, partition, snapshot_days
from feature_repo.windows import Snapshots, spread
from tests.hand_made import write_events

MONDAY = date(2025, 6, 2)
ANN, BOB, PLAZA = 1 << 40 | 1, 1 << 40 | 2, 1 << 40 | 9

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECOMMEND_HOME", str(tmp_path))
    return tmp_path


def post(at: datetime, user: int = ANN) -> None:
    write_events(MESSAGES, [{"at": at, "message_id": 1, "user_id": user, "channel_id": PLAZA}])


def count(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Each user's messages of seven days."""
    seen = spread(inputs["messages"], days, 7)
    return seen.groupBy("workspace_id", "day", "user_id").agg(F.count("*").alias("messages"))


def double(inputs: Inputs, days: Snapshots) -> DataFrame:
    """Twice what `count` says."""
    return inputs["counts"].withColumn("messages", 2 * F.col("messages"))


def table(
    name: str,
    build: Callable[[Inputs, Snapshots], DataFrame] = count,
    *,
    reads: tuple[str, ...] = (),
    cadence: Cadence = "daily",
) -> OfflineTable:
    return OfflineTable(name, ("user_id",), build, reads, cadence)


def by_name(*tables: OfflineTable) -> dict[str, OfflineTable]:
    return {t.name: t for t in tables}


COUNTS, DOUBLES = table("counts"), table("doubles", double, reads=("counts",))


def build(*tables: OfflineTable, since: date, as_of: date, rebuild: bool = False) -> list[Built]:
    due = steps(by_name(*tables), since=since, as_of=as_of, rebuild=rebuild)
    return offline.build(due, event_tables())


def messages(name: str, day: date) -> dict[int, int]:
    """The ``messages`` column by user; the snapshot is one file."""
    (file,) = partition(name, day).glob("*.parquet")
    found = pq.read_table(file, partitioning=None).to_pydict()
    assert set(found["event_timestamp"]) <= {midnight(day)}
    return dict(zip(found["user_id"], found["messages"], strict=True))


def an_hour_goes_by(home: Path) -> None:
    """Let what is written from now on be newer by more than a clock's resolution."""
    for file in home.rglob("*.parquet"):
        past = file.stat().st_mtime - 3_600
        os.utime(file, (past, past))


@pytest.mark.parametrize(
    ("cadence", "days"),
    [
        ("daily", [MONDAY + timedelta(days=n) for n in range(31)]),
        ("weekly", [*(MONDAY + timedelta(weeks=n) for n in range(5)), date(2025, 7, 2)]),
        ("monthly", [date(2025, 7, 1), date(2025, 7, 2)]),
    ],
)
def test_each_cadence_has_its_days_and_as_of_always(cadence: Cadence, days: list[date]) -> None:
    assert table("counts", cadence=cadence).due(MONDAY, date(2025, 7, 2)) == days


def test_the_cadence_asked_for_takes_the_place_of_the_tables_own() -> None:
    monthly = by_name(table("counts", cadence="monthly"))
    since, as_of = MONDAY, MONDAY + timedelta(days=6)
    assert [len(s.days) for s in steps(monthly, since=since, as_of=as_of)] == [1]
    assert [len(s.days) for s in steps(monthly, since=since, as_of=as_of, cadence="daily")] == [7]


def test_the_history_of_ninety_days_is_the_default() -> None:
    first, *_, last = (day for step in steps(by_name(COUNTS), as_of=MONDAY) for day in step.days)
    assert (first, last) == (MONDAY - timedelta(days=90), MONDAY)


def test_an_unknown_cadence_names_the_known_ones() -> None:
    with pytest.raises(RecommendError, match=f"no cadence 'hourly'.*{', '.join(CADENCES)}"):
        steps(by_name(COUNTS), as_of=MONDAY, cadence="hourly")


def test_a_table_that_reads_an_undeclared_one_is_refused() -> None:
    with pytest.raises(RecommendError, match="read counts, which no table file declares"):
        steps(by_name(DOUBLES), as_of=MONDAY)


def test_a_table_follows_those_that_it_reads_within_each_piece_of_days() -> None:
    last = MONDAY + timedelta(days=SNAPSHOTS_A_JOB)
    planned = steps(by_name(DOUBLES, COUNTS), since=MONDAY, as_of=last)
    assert [(s.table.name, len(s.days)) for s in planned] == [
        ("counts", SNAPSHOTS_A_JOB),
        ("doubles", SNAPSHOTS_A_JOB),
        ("counts", 1),
        ("doubles", 1),
    ]
    names = [s.table.name for s in steps(offline_tables(), since=MONDAY, as_of=MONDAY)]
    assert sorted(names) == sorted(offline_tables())
    assert all(names.index(r) < names.index(n) for n, t in offline_tables().items() for r in t.reads)


def test_a_build_tells_what_it_wrote_and_a_second_run_builds_nothing() -> None:
    post(midnight(MONDAY))
    tuesday = MONDAY + timedelta(days=1)
    told: list[Step] = []
    planned = steps(by_name(COUNTS, DOUBLES), since=MONDAY, as_of=tuesday)
    built = offline.build(planned, event_tables(), told.append)
    assert told == planned
    assert built == [Built("counts", 2, 1), Built("doubles", 2, 1)]
    assert summary([*built, Built("counts", 1, 5)]) == {"counts": (3, 6), "doubles": (2, 1)}
    assert (messages("counts", MONDAY), messages("doubles", tuesday)) == ({}, {ANN: 2})
    assert snapshot_days("counts") == [MONDAY, tuesday]
    assert steps(by_name(COUNTS, DOUBLES), since=MONDAY, as_of=tuesday) == []
    assert offline.build([], event_tables()) == []


def test_a_day_without_rows_is_an_empty_file_of_the_same_types() -> None:
    post(midnight(MONDAY))
    build(COUNTS, since=MONDAY, as_of=MONDAY + timedelta(days=1))
    empty, full = (
        pq.read_schema(next(partition("counts", MONDAY + timedelta(days=n)).glob("*.parquet")))
        for n in range(2)
    )
    assert messages("counts", MONDAY) == {}
    assert empty.remove_metadata().equals(full.remove_metadata())


def test_a_late_event_rebuilds_the_snapshots_after_it_and_no_other(home: Path) -> None:
    days = [MONDAY + timedelta(days=n) for n in range(4)]
    post(midnight(MONDAY) - timedelta(days=1))
    build(COUNTS, since=days[0], as_of=days[-1])
    an_hour_goes_by(home)
    assert steps(by_name(COUNTS), since=days[0], as_of=days[-1]) == []
    post(midnight(days[1]), BOB)
    assert steps(by_name(COUNTS), since=days[0], as_of=days[-1]) == [Step(COUNTS, (days[2], days[3]))]
    build(COUNTS, since=days[0], as_of=days[-1])
    assert [messages("counts", d) for d in days] == [{ANN: 1}, {ANN: 1}, {ANN: 1, BOB: 1}, {ANN: 1, BOB: 1}]
    assert steps(by_name(COUNTS), since=days[0], as_of=days[-1]) == []


def test_a_rebuild_replaces_a_partition_even_by_an_empty_one() -> None:
    post(midnight(MONDAY) - timedelta(days=1))
    for _ in range(2):
        build(COUNTS, since=MONDAY, as_of=MONDAY, rebuild=True)
        assert messages("counts", MONDAY) == {ANN: 1}
    for file in (events_path() / MESSAGES.name).glob("*/*.parquet"):
        file.unlink()
    build(COUNTS, since=MONDAY, as_of=MONDAY, rebuild=True)
    assert messages("counts", MONDAY) == {}


def test_a_build_that_dies_between_two_tables_leaves_whole_ones_and_is_taken_up() -> None:
    post(midnight(MONDAY) - timedelta(days=1))

    def killed(inputs: Inputs, days: Snapshots) -> DataFrame:
        raise KeyboardInterrupt

    dying = table("doubles", killed, reads=("counts",))
    with pytest.raises(KeyboardInterrupt):
        build(COUNTS, dying, since=MONDAY, as_of=MONDAY)
    assert messages("counts", MONDAY) == {ANN: 1}
    assert snapshot_days("doubles") == []
    assert [b.table for b in build(COUNTS, DOUBLES, since=MONDAY, as_of=MONDAY)] == ["doubles"]
    assert messages("doubles", MONDAY) == {ANN: 2}


def test_a_build_that_fails_while_it_writes_leaves_the_earlier_partitions(home: Path) -> None:
    tuesday = MONDAY + timedelta(days=1)
    post(midnight(MONDAY) - timedelta(days=1))
    build(COUNTS, since=MONDAY, as_of=tuesday)

    def failing(inputs: Inputs, days: Snapshots) -> DataFrame:
        broken = F.when(F.col("day") == F.lit(tuesday), F.raise_error(F.lit("no more memory")))
        return count(inputs, days).withColumn("messages", F.coalesce(broken.cast("long"), F.lit(7)))

    with pytest.raises(RecommendError, match="Spark failed on table counts") as raised:
        build(table("counts", failing), since=MONDAY, as_of=tuesday, rebuild=True)
    assert "\n" not in str(raised.value)
    assert [messages("counts", d) for d in (MONDAY, tuesday)] == [{ANN: 1}, {ANN: 1}]
    assert {p.name for p in tables_path().glob("*/*")} == {f"day={MONDAY}", f"day={tuesday}"}
    build(COUNTS, since=MONDAY, as_of=tuesday, rebuild=True)
    assert [messages("counts", d) for d in (MONDAY, tuesday)] == [{ANN: 1}, {ANN: 1}]


def test_as_of_must_lie_after_the_first_event() -> None:
    with pytest.raises(RecommendError, match="no events yet"):
        check_as_of(event_tables(), midnight(MONDAY))
    write_events(USERS, [{"at": EARLIEST, "user_id": ANN, "is_bot": False}])
    with pytest.raises(RecommendError, match="no events yet"):
        check_as_of(event_tables(), midnight(MONDAY))
    post(midnight(MONDAY))
    with pytest.raises(
        RecommendError, match="the first event is of 2025-06-02 00:00; choose a later --as-of"
    ):
        check_as_of(event_tables(), midnight(MONDAY))
    check_as_of(event_tables(), midnight(MONDAY) + timedelta(microseconds=1))
