"""The domain-free part: counts that add up, all or nothing, one at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.errors import RecommendError
from feature_repo.events import ID, Column, EventTable
from feature_repo.home import events_path, scratch_path, vault_path
from feature_repo.identity import Vault
from feature_repo.ingest import Batch, QuarantineExceeded, Row, Skipped, Where, batches, load
from feature_repo.ingest.publication import publish, workbench

FILMS = EventTable("films", (Column("film_id", ID, "which", identity="film"),), key=("film_id",))
RATINGS = EventTable(
    name="ratings",
    columns=(
        Column("rating_id", ID, "keyed hash"),
        Column("film_id", ID, "which", identity="film"),
        Column("stars", pa.int8(), "1 to 5", optional=True),
    ),
    key=("rating_id",),
)
TABLES = (FILMS, RATINGS)
AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
INSTANT = 1_704_067_200_000_000  # 2024-01-01


def film(name: str) -> Row:
    return Row(FILMS, Where(1, 1), {"event_timestamp": INSTANT, "film_id": name})


def rating(n: int, *, film_id: str | None = "f", day: int = 0, reason: str | None = None) -> Row:
    instant = INSTANT + day * 86_400_000_000
    values = {"event_timestamp": instant, "rating_id": str(n), "film_id": film_id, "stars": 3}
    return Row(RATINGS, Where(2, n), values, reason)


def export(*rows: Row | Skipped, size: int = 3) -> Iterator[Batch]:
    return batches(((row, 0.5) for row in rows), size)


def test_a_domain_of_films_needs_nothing_else() -> None:
    report = load(
        export(film("f"), rating(1), Skipped(), rating(2, day=1)),
        TABLES,
        "w",
        lists={"film": FILMS},
        as_of=AS_OF,
    )
    assert (report.total.kept, report.skipped) == (3, 1)
    days = sorted(p.parent.name for p in (events_path() / "ratings").rglob("*.parquet"))
    assert days == ["day=2024-01-01", "day=2024-01-02"]


rows = st.lists(
    st.builds(
        rating,
        st.integers(0, 12),
        film_id=st.sampled_from(["f", "f", "f", "g", "", None]),
        day=st.sampled_from([0, 0, 1, 365, -10_000]),
        reason=st.sampled_from([None, None, None, "garbled"]),
    ),
    max_size=30,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=rows, second=rows, size=st.integers(1, 8))
def test_counts_add_up_and_equal_what_is_stored(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, first: list[Row], second: list[Row], size: int
) -> None:  # fmt: skip
    monkeypatch.setenv("RECOMMEND_HOME", str(tmp_path_factory.mktemp("home")))
    good: set[str] = set()
    for batch in (first, second):
        good_rows = [
            r for r in batch
            if r.reason is None and r.values["film_id"] == "f" and r.values["event_timestamp"] in (INSTANT, INSTANT + 86_400_000_000)
        ]  # fmt: skip
        new = {r.values["rating_id"] for r in good_rows} - good
        report = load(
            export(film("f"), *batch, size=size),
            TABLES,
            "w",
            lists={"film": FILMS},
            as_of=AS_OF,
            threshold=1.0,
        )
        for counts in report.counts.values():
            assert counts.read == counts.kept + counts.duplicate + counts.quarantined
        if batch:
            counts = report.counts["ratings"]
            assert (counts.read, counts.kept) == (len(batch), len(new))
            assert counts.quarantined == len(batch) - len(good_rows)
        listed = pq.read_table(report.quarantine_path).num_rows if report.quarantine_path else 0
        assert listed == report.total.quarantined == sum(report.reasons.values())
        good |= new
    stored = [pq.ParquetFile(p).metadata.num_rows for p in (events_path() / "ratings").rglob("*.parquet")]
    assert sum(stored) == len(good)


def test_of_equal_rows_the_first_read_stays() -> None:
    first, second = rating(1), rating(1, day=1)
    load(export(film("f"), first, second), TABLES, "w", lists={"film": FILMS}, as_of=AS_OF)
    assert [p.parent.name for p in (events_path() / "ratings").rglob("*.parquet")] == ["day=2024-01-01"]


def test_the_instant_of_the_run_itself_is_not_the_future() -> None:
    day = (AS_OF - datetime(2024, 1, 1, tzinfo=UTC)).days
    report = load(export(film("f"), rating(1, day=day)), TABLES, "w", lists={"film": FILMS}, as_of=AS_OF)
    assert report.total.quarantined == 0


def test_the_threshold_itself_is_allowed() -> None:
    bad = rating(1, reason="garbled")
    load(export(film("f"), bad), TABLES, "w", lists={}, as_of=AS_OF, threshold=0.5)
    with pytest.raises(QuarantineExceeded, match="garbled"):
        load(export(film("f"), bad), TABLES, "w", lists={}, as_of=AS_OF, threshold=0.49)


def test_what_breaks_in_the_middle_leaves_nothing(home: Path) -> None:
    def broken() -> Iterator[Batch]:
        yield from export(film("f"), rating(1))
        raise RecommendError("file 2 is cut off")

    with pytest.raises(RecommendError, match="cut off"):
        load(broken(), TABLES, "w", lists={"film": FILMS}, as_of=AS_OF)
    assert not list(home.rglob("*.parquet"))
    assert not list(scratch_path().glob("ingest-*"))
    with Vault(vault_path()) as vault:
        assert vault.workspaces() == {}


def test_a_publication_that_fails_takes_back_what_it_moved(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    (tmp_path / "file").touch()
    moves = [(tmp_path / "a", tmp_path / "new" / "a"), (tmp_path / "b", tmp_path / "file" / "b")]
    with pytest.raises(OSError, match="file"):
        publish(moves)
    assert not (tmp_path / "new" / "a").exists()


def test_one_ingest_at_a_time() -> None:
    with workbench("first"), pytest.raises(RecommendError, match="another ingest"):
        load(export(film("f")), TABLES, "w", lists={}, as_of=AS_OF)
    assert load(export(film("f")), TABLES, "w", lists={}, as_of=AS_OF).published


def test_what_a_killed_ingest_left_is_cleared_away() -> None:
    (scratch_path() / "ingest-killed").mkdir()
    load(export(film("f")), TABLES, "w", lists={}, as_of=AS_OF)
    assert not list(scratch_path().glob("ingest-*"))


def test_no_progress_bar_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    load(export(film("f")), TABLES, "w", lists={}, as_of=AS_OF)
    assert capfd.readouterr() == ("", "")


def test_after_a_crash_amid_publication_the_same_ingest_adds_exactly_what_is_missing() -> None:
    rows = (film("f"), rating(1), rating(2, day=1))
    load(export(*rows), TABLES, "w", lists={"film": FILMS}, as_of=AS_OF)
    (missing,) = (events_path() / "ratings" / "day=2024-01-02").glob("*.parquet")
    missing.unlink()
    report = load(export(*rows), TABLES, "w", lists={"film": FILMS}, as_of=AS_OF)
    assert (report.total.kept, report.total.duplicate) == (1, 2)
