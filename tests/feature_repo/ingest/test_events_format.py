"""The format *events*: columns by a declared mapping, rows one by one, files as a whole."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from feature_repo.chat.events import EVENT_TABLES
from feature_repo.chat.ingest import FORMATS, ingest
from feature_repo.chat.ingest.event_mapping import DECLARED
from feature_repo.clock import EARLIEST
from feature_repo.errors import RecommendError
from feature_repo.home import events_path, quarantine_path, scratch_path, vault_path
from feature_repo.identity import UNKNOWN, Vault
from feature_repo.ingest import QuarantineExceeded

Rows = list[dict[str, Any]]
AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
NOON = "2024-01-01T12:00:00Z"

USERS: Rows = [{"user_id": "u1", "is_bot": False}, {"user_id": "u2", "is_bot": True}]
CHANNELS: Rows = [{"channel_id": "c1", "created": NOON}]


def message(n: int, **values: Any) -> dict[str, Any]:
    return {
        "msg_id": str(n),
        "ts": NOON,
        "user_id": "u1",
        "channel_id": "c1",
        "topic_id": "t",
        "n_chars": n,
    } | values


def write(folder: Path, suffix: str, **tables: Rows) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ({"users": USERS, "channels": CHANNELS} | tables).items():
        path = folder / f"{name}{suffix}"
        if suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif suffix == ".csv":
            pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path)
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., Path]:
    return lambda suffix=".jsonl", **tables: write(tmp_path / "export", suffix, **tables)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_round_trip(export: Callable[..., Path], stored: Callable[[str], Rows], suffix: str) -> None:
    mentions = [
        {"msg_id": "1", "ts": NOON, "channel_id": "c1", "from_user": "u1", "to_user": "u2", "is_quote": True}
    ]
    links = [{"msg_id": "1", "ts": NOON, "from_user": "u1", "in_channel": "c1", "to_channel": "c1"}]
    memberships = [{"user_id": "u2", "channel_id": "c1", "event_timestamp": NOON, "joined": False}]
    path = export(
        suffix,
        messages=[message(1, has_image=True), message(2, has_image=False, ts="2024-01-02T00:00:00+02:00")],
        mentions=mentions,
        channel_links=links,
        memberships=memberships,
    )
    report = ingest(path, "events", "acme", as_of=AS_OF)
    assert report.published
    assert report.quarantine_path is None
    assert {name: counts.kept for name, counts in report.counts.items()} == {
        "users": 2, "channels": 1, "messages": 2, "mentions": 1, "channel_links": 1, "memberships": 1,
    }  # fmt: skip
    first, second = stored("messages")
    assert (first["user_id"], first["channel_id"], first["characters"], first["attachments"]) == (
        "u1",
        "c1",
        1,
        1,
    )
    assert (second["characters"], second["attachments"]) == (2, 0)
    assert second["event_timestamp"] == datetime(2024, 1, 1, 22, tzinfo=UTC)
    assert first["thread_id"] == second["thread_id"]
    (mention,) = stored("mentions")
    assert (mention["user_id"], mention["mentioned_user_id"], mention["is_quote"]) == ("u1", "u2", True)
    assert mention["message_id"] == first["message_id"]
    assert [row["linked_channel_id"] for row in stored("channel_links")] == ["c1"]
    assert [(row["user_id"], row["joined"]) for row in stored("memberships")] == [("u2", False)]
    assert {row["event_timestamp"] for row in stored("users")} == {EARLIEST}
    assert [row["kind"] for row in stored("channels")] == [0]


def test_files_have_exactly_the_tables_schema_and_lie_by_utc_day(export: Callable[..., Path]) -> None:
    ingest(export(messages=[message(1, ts="2024-01-02T00:30:00+02:00")]), "events", "acme", as_of=AS_OF)
    for table in EVENT_TABLES[:3]:
        (file,) = (events_path() / table.name).rglob("*.parquet")
        assert pq.read_schema(file).equals(table.schema)
    assert [p.name for p in (events_path() / "messages").iterdir()] == ["day=2024-01-01"]
    assert not list(scratch_path().glob("ingest-*"))


def test_the_same_export_twice_adds_nothing(
    export: Callable[..., Path], stored: Callable[[str], Rows]
) -> None:
    path = export(messages=[message(1), message(2)])
    ingest(path, "events", "acme", as_of=AS_OF)
    again = ingest(path, "events", "acme", as_of=AS_OF)
    assert again.total.kept == 0
    assert again.total.duplicate == again.total.read == 5
    assert len(stored("messages")) == 2


def test_a_newer_export_adds_what_is_new_and_may_lean_on_earlier_lists(
    tmp_path: Path, stored: Callable[[str], Rows]
) -> None:
    ingest(write(tmp_path / "a", ".jsonl", messages=[message(1)]), "events", "acme", as_of=AS_OF)
    newer = write(tmp_path / "b", ".jsonl", channels=[{"channel_id": "c2", "created": NOON}],
                  messages=[message(1), message(2), message(3, channel_id="c2")])  # fmt: skip
    report = ingest(newer, "events", "acme", as_of=AS_OF)
    assert (report.counts["messages"].kept, report.counts["messages"].duplicate) == (2, 1)
    assert sorted(row["characters"] for row in stored("messages")) == [1, 2, 3]


def test_of_duplicates_in_one_export_the_first_stays(
    export: Callable[..., Path], stored: Callable[[str], Rows]
) -> None:
    report = ingest(export(messages=[message(1), message(1, n_chars=99)]), "events", "acme", as_of=AS_OF)
    assert report.counts["messages"].duplicate == 1
    assert [row["characters"] for row in stored("messages")] == [1]


def test_workspaces_are_apart(export: Callable[..., Path], stored: Callable[[str], Rows]) -> None:
    path = export(messages=[message(1)])
    first = ingest(path, "events", "acme", as_of=AS_OF)
    second = ingest(path, "events", "globex", as_of=AS_OF)
    assert second.counts["messages"].kept == 1
    rows = stored("messages")
    assert {row["workspace_id"] for row in rows} == {first.workspace_id, second.workspace_id}
    assert rows[0]["message_id"] != rows[1]["message_id"]


BAD = {
    "no author": ({"user_id": None}, "user_id has no value"),
    "an empty author": ({"user_id": ""}, "user_id has no value"),
    "no instant": ({"ts": None}, "event_timestamp has no value"),
    "a garbled instant": ({"ts": "yesterday"}, "event_timestamp does not hold time stamps"),
    "a garbled length": ({"n_chars": "many"}, "characters does not hold whole numbers"),
    "a length past its type": ({"n_chars": 2**40}, "characters does not hold whole numbers"),
    "before 2000": ({"ts": "1999-12-31T23:59:59Z"}, "event_timestamp lies before 2000-01-01"),
    "in the future": ({"ts": "2024-06-01T00:00:01Z"}, "event_timestamp lies in the future"),
    "a channel in no list": ({"channel_id": "c9"}, "channel_id is in no list"),
    "text for an id": ({"user_id": "x" * 513}, "user_id is longer than 512 bytes"),
}


@pytest.mark.parametrize(("values", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_bad_row_goes_to_quarantine_with_its_place_and_reason(
    export: Callable[..., Path], suffix: str, values: dict[str, Any], reason: str
) -> None:
    good, bad = message(1), message(2, **values)
    if suffix == ".csv":  # one type a column
        good, bad = ({k: None if v is None else str(v) for k, v in row.items()} for row in (good, bad))
    report = ingest(export(suffix, messages=[good, bad]), "events", "acme", as_of=AS_OF, threshold=0.5)
    assert report.reasons == {reason: 1}
    assert (report.counts["messages"].kept, report.counts["messages"].quarantined) == (1, 1)
    assert report.quarantine_path is not None
    assert pq.read_table(report.quarantine_path).to_pylist() == [
        {
            "workspace_id": report.workspace_id,
            "table": "messages",
            "file": 2,
            "day": None,
            "line": 2,
            "reason": reason,
        }
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{nonsense", "the line is no JSON"),
        ("[1, 2]", "the line is no JSON object"),
        ('{"msg_id": ["1"]}', "a value is a list or an object"),
        ('{"msg_id": "\\ud800"}', "a value is no Unicode text"),
    ],
)
def test_a_json_line_of_another_shape_goes_to_quarantine(
    export: Callable[..., Path], line: str, reason: str
) -> None:
    path = export(messages=[message(1)])
    with (path / "messages.jsonl").open("a") as file:
        file.write(f"\n{line}\n")
    report = ingest(path, "events", "acme", as_of=AS_OF, threshold=0.5)
    assert report.reasons == {reason: 1}
    assert pq.read_table(report.quarantine_path)["line"].to_pylist() == [3]  # line 2 is blank


def test_a_csv_row_with_too_few_cells_goes_to_quarantine_and_does_not_shift_the_others(
    export: Callable[..., Path],
) -> None:
    path = export()
    (path / "messages.csv").write_text(f"msg_id,ts,user_id,channel_id\n1,{NOON},u1,c1\n2\n3,{NOON},,c1\n")
    report = ingest(path, "events", "acme", as_of=AS_OF, threshold=0.9)
    rows = pq.read_table(report.quarantine_path).to_pylist()
    assert sorted((row["line"], row["reason"]) for row in rows) == [
        (2, "the row has more or fewer cells than the header"),
        (3, "user_id has no value"),
    ]


def test_past_the_threshold_only_the_quarantine_table_is_written(export: Callable[..., Path]) -> None:
    path = export(messages=[message(1), message(2, user_id=None)])
    with pytest.raises(QuarantineExceeded, match=r"1 of 5 rows .* 1\.00%.* user_id has no value") as caught:
        ingest(path, "events", "acme", as_of=AS_OF)
    report = caught.value.report
    assert report.exceeds(0.01)
    assert not report.exceeds(0.2)
    assert not report.published
    assert not events_path().exists()
    assert pq.read_table(report.quarantine_path).num_rows == 1
    with Vault(vault_path()) as vault:
        workspace = vault.workspace("acme")
        assert workspace == report.workspace_id
        assert vault.lookup(workspace, "user", ["u1"]).tolist() == [UNKNOWN]


def test_whole_numbers_that_went_through_a_float_column_are_the_same_ids(
    tmp_path: Path, stored: Callable[[str], Rows]
) -> None:
    folder = write(
        tmp_path / "export", ".parquet",
        users=[{"user_id": 12}],
        channels=[{"channel_id": 3, "created": NOON, "creator_id": 12.0}, {"channel_id": 4, "created": NOON, "creator_id": None}],
        messages=[message(1, user_id=12, channel_id=3)],
    )  # fmt: skip
    ingest(folder, "events", "acme", as_of=AS_OF)
    assert {row["creator_id"] for row in stored("channels")} == {"12", None}


def test_a_folder_of_files_is_one_table(export: Callable[..., Path]) -> None:
    path = export()
    for n in (1, 2):
        (path / "messages").mkdir(exist_ok=True)
        (path / "messages" / f"part-{n}.jsonl").write_text(json.dumps(message(n)) + "\n")
    assert ingest(path, "events", "acme", as_of=AS_OF).counts["messages"].kept == 2


def test_an_export_may_bring_its_own_mapping(
    export: Callable[..., Path], stored: Callable[[str], Rows]
) -> None:
    path = export(messages=[{"id": "1", "at": 1704110400, "who": "u1", "room": "c1", "file": "true"}])
    (path / "mapping.toml").write_text(
        '[messages]\nmessage_id = "id"\nevent_timestamp = ["sent", "at"]\nuser_id = "who"\nchannel_id = "room"\n'
        'attachments = { flag = "file" }\ncharacters = { default = 7 }\n'
    )
    ingest(path, "events", "acme", as_of=AS_OF)
    (row,) = stored("messages")
    assert row["event_timestamp"] == datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert (row["user_id"], row["attachments"], row["characters"]) == ("u1", 1, 7)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[messages", "is no TOML"),
        ('[posts]\na = "b"', r"\[posts\] is no event table; there are users"),
        ('[messages]\nbody = "text"', r"messages\.body is no column of ours"),
        ("[messages]\nuser_id = 3", r"messages\.user_id is to be the name of a column"),
        ('[messages]\nuser_id = { column = "a" }', "has column: give columns, flag, within or default"),
    ],
)
def test_a_wrong_mapping_is_told(export: Callable[..., Path], toml: str, complaint: str) -> None:
    path = export(messages=[message(1)])
    (path / "mapping.toml").write_text(toml)
    with pytest.raises(RecommendError, match=complaint):
        ingest(path, "events", "acme", as_of=AS_OF)


def test_the_declared_mapping_names_only_columns_that_there_are() -> None:
    tables = {t.name: set(t.schema.names) for t in EVENT_TABLES}
    for name, columns in DECLARED.items():
        assert set(columns) <= tables[name]


def _missing_folder(path: Path) -> Path:
    return path / "nowhere"


def _empty_folder(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


def _no_rows(path: Path) -> Path:
    return write(path / "export", ".jsonl", users=[], channels=[], messages=[])


def _no_messages(path: Path) -> Path:
    return write(path / "export", ".jsonl")


def _two_forms(path: Path) -> Path:
    write(path / "export", ".jsonl", messages=[message(1)])
    return write(path / "export", ".csv", messages=[message(1)])


def _cut_parquet(path: Path) -> Path:
    folder = write(path / "export", ".parquet", messages=[message(1)])
    file = folder / "messages.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    return folder


def _cut_json(path: Path) -> Path:
    folder = write(path / "export", ".jsonl", messages=[message(1), message(2)])
    file = folder / "messages.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    return folder


def _latin_1(path: Path) -> Path:
    folder = write(path / "export", ".jsonl")
    (folder / "messages.csv").write_bytes(
        f"msg_id,ts,user_id,channel_id\n1,{NOON},J\xf6rg,c1\n".encode("latin-1")
    )
    return folder


def _empty_csv(path: Path) -> Path:
    folder = write(path / "export", ".jsonl")
    (folder / "messages.csv").touch()
    return folder


def _wrong_type(path: Path) -> Path:
    return write(
        path / "export", ".parquet", messages=[message(1, ts=None), message(2, ts=True), message(3, ts=True)]
    )


def _nested_ids(path: Path) -> Path:
    return write(path / "export", ".parquet", messages=[message(1, user_id=["u1"])])


def _missing_column(path: Path) -> Path:
    return write(path / "export", ".csv", messages=[{"msg_id": "1", "ts": NOON, "channel_id": "c1"}])


FILES: dict[Callable[[Path], Path], str] = {
    _missing_folder: "does not exist",
    _empty_folder: "holds no event table",
    _no_rows: "no row in it",
    _no_messages: "has no messages: every export needs it",
    _two_forms: "has users more than once",
    _cut_parquet: r"messages\.parquet is not a whole Parquet file",
    _cut_json: r"messages\.jsonl is cut off in line 2",
    _latin_1: r"messages\.csv is no CSV file in UTF-8",
    _empty_csv: r"messages\.csv is empty",
    _wrong_type: r"messages\.parquet: column event_timestamp or ts or created does not hold time stamps \(first bad row: 2\)",
    _nested_ids: r"messages\.parquet: column user_id does not hold ids \(first bad row: 1\)",
    _missing_column: r"messages\.csv has no column user_id",
}


@pytest.mark.parametrize(("damage", "complaint"), FILES.items(), ids=lambda f: getattr(f, "__name__", ""))
def test_a_bad_file_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path, damage: Callable[[Path], Path], complaint: str
) -> None:
    with pytest.raises(RecommendError, match=complaint) as caught:
        ingest(damage(tmp_path), "events", "acme", as_of=AS_OF)
    assert "\n" not in str(caught.value)
    assert not events_path().exists()
    assert not quarantine_path().exists()
    assert not list(scratch_path().glob("ingest-*"))


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_workspace_needs_a_name(export: Callable[..., Path], name: str) -> None:
    with pytest.raises(RecommendError, match="workspace's name"):
        ingest(export(messages=[message(1)]), "events", name, as_of=AS_OF)


def test_an_unknown_format_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecommendError, match="'discord'.*" + ", ".join(FORMATS)):
        ingest(tmp_path, "discord", "acme")


def test_an_earlier_ingests_rows_can_be_read_back_as_an_export(
    export: Callable[..., Path], stored: Callable[[str], Rows]
) -> None:
    """The tables that we write are an *events* export too: our names, folders of day files."""
    ingest(export(".parquet", messages=[message(1), message(2)]), "events", "acme", as_of=AS_OF)
    report = ingest(events_path(), "events", "copy", as_of=AS_OF)
    assert report.counts["messages"].kept == 2
    assert len(stored("messages")) == 4
