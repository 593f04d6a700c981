"""Nothing that a person wrote, is called, or named a file reaches the disk, but ids in the vault."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from feature_repo.chat.ingest import ingest
from feature_repo.errors import RecommendError
from feature_repo.home import vault_path
from feature_repo.ingest import QuarantineExceeded

Write = Callable[[str, Any], Path]
AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
T0 = 1704067200

NAME, EMAIL, TEXT, FILE = "Zebediah Quux", "zebediah@quux.example", "xylophones at midnight", "plans-of-quux"
PLANTED = (NAME, EMAIL, TEXT, FILE, "UZEBEDIAH", "CQUUX", "msg-zebediah", "xylophone", "zebediah", "quux")


def _events(write_json: Write) -> Path:
    write_json("users/plans-of-quux.csv", f"user_id,name,email,is_bot\nUZEBEDIAH,{NAME},{EMAIL},false\n")
    write_json("channels.csv", f"channel_id,name,created\nCQUUX,{FILE},{T0}\n")
    good = f"msg-zebediah,{T0},UZEBEDIAH,CQUUX,{TEXT},{TEXT}\n"
    bad = f"msg-zebediah-2,{TEXT},UZEBEDIAH,CQUUX,{TEXT},{TEXT}\nmsg-zebediah-3,{NAME}\n"
    return write_json(
        "messages/plans-of-quux.csv", f"msg_id,ts,user_id,channel_id,topic_id,text\n{good}{bad}"
    )


def _json_lines(write_json: Write) -> Path:
    write_json("users.jsonl", f'{{"user_id": "UZEBEDIAH", "is_bot": false, "name": "{NAME}"}}\n')
    write_json("channels.jsonl", f'{{"channel_id": "CQUUX", "created": {T0}}}\n')
    good = f'{{"msg_id": "msg-zebediah", "ts": {T0}, "user_id": "UZEBEDIAH", "channel_id": "CQUUX", "text": "{TEXT}"}}\n'
    return write_json("messages.jsonl", good + f'{{"text": "{TEXT}" {EMAIL}\n{{"ts": ["{TEXT}"]}}\n')


def _slack(write_json: Write) -> Path:
    profile = {"email": EMAIL, "real_name": NAME}
    write_json(
        "users.json", [{"id": "UZEBEDIAH", "name": NAME, "profile": profile, "updated": T0}, {"id": [NAME]}]
    )
    write_json("channels.json", [{"id": "CQUUX", "name": FILE, "created": T0, "topic": {"value": TEXT}}])
    text = f"{TEXT} <@UZEBEDIAH|{NAME}> <#CQUUX|{FILE}> <#CQUUXTWO|{FILE}>"
    good = {"ts": f"{T0}.0", "user": "UZEBEDIAH", "text": text, "files": [{"name": FILE}]}
    write_json(f"{FILE}/2024-01-01.json", [good, {"ts": TEXT, "user": NAME}, TEXT])
    return write_json(f"{FILE}-unlisted/2024-01-01.json", [good])


def _zulip(write_json: Write) -> Path:
    content = f'<p>{TEXT} <span class="user-mention" data-user-id="5">@{NAME}</span></p>'
    good = {"id": 1, "timestamp": T0, "sender_full_name": NAME, "content": content}
    write_json("stream_index.json", {"streams": {FILE: {"topic_data": {TEXT: {}}}}, "time": 1})
    return write_json(
        f"11-{FILE}/{TEXT}.json", [good, good | {"id": TEXT}, good | {"id": 2, "timestamp": None}, TEXT]
    )


EXPORTS = {
    "events": _events,
    "events, JSON lines": _json_lines,
    "slack-export": _slack,
    "zulip-archive": _zulip,
}


def found_outside_the_vault(home: Path) -> Iterator[tuple[str, str]]:
    """(planted string, file) wherever one is found: in names, in bytes, and in the values of Parquet files."""
    for path in home.rglob("*"):
        content = str(path.relative_to(home)).encode()
        if path.is_file() and path.name.removesuffix("-wal").removesuffix("-shm") != vault_path().name:
            content += path.read_bytes()
            if path.suffix == ".parquet":
                content += repr(pq.ParquetFile(path).read().to_pylist()).encode()
        for planted in PLANTED:
            if planted.casefold().encode() in content.lower():
                yield planted, str(path)


@pytest.mark.parametrize("kind", EXPORTS)
def test_only_the_vault_has_them(home: Path, write_json: Write, kind: str) -> None:
    report = ingest(EXPORTS[kind](write_json), kind.partition(",")[0], "acme", as_of=AS_OF, threshold=1.0)
    assert report.counts["messages"].kept == 1
    known = b"".join(path.read_bytes() for path in home.glob("vault.sqlite*"))
    assert any(raw.encode() in known for raw in ("UZEBEDIAH", NAME))
    assert pq.ParquetFile(report.quarantine_path).metadata.num_rows == report.total.quarantined > 0
    assert list(found_outside_the_vault(home)) == []


@pytest.mark.parametrize("kind", EXPORTS)
def test_past_the_threshold_nobody_has_them(home: Path, write_json: Write, kind: str) -> None:
    with pytest.raises(QuarantineExceeded) as caught:
        ingest(EXPORTS[kind](write_json), kind.partition(",")[0], "acme", as_of=AS_OF, threshold=0.0)
    assert not any(planted in str(caught.value) for planted in PLANTED)
    assert list(found_outside_the_vault(home)) == []


def test_message_text_is_not_even_in_the_vault(home: Path, write_json: Write) -> None:
    ingest(_slack(write_json), "slack-export", "acme", as_of=AS_OF, threshold=1.0)
    vault = b"".join(path.read_bytes() for path in home.glob("vault.sqlite*"))
    assert b"UZEBEDIAH" in vault
    assert not any(planted.encode() in vault for planted in (NAME, EMAIL, TEXT, FILE))


@pytest.mark.parametrize("kind", ["slack-export", "zulip-archive"])
def test_an_error_about_a_file_says_none_of_them(home: Path, write_json: Write, kind: str) -> None:
    export = EXPORTS[kind](write_json)
    for file in export.rglob("*/*.json"):
        file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(RecommendError) as caught:
        ingest(export, kind, "acme", as_of=AS_OF)
    assert not any(planted in str(caught.value) for planted in (NAME, EMAIL, TEXT, FILE))
    shutil.rmtree(export)
    assert list(found_outside_the_vault(home)) == []


def test_the_search_finds_what_is_there(home: Path) -> None:
    home.mkdir()
    (home / "log").write_text(f"hello {NAME}")
    assert (NAME, str(home / "log")) in set(found_outside_the_vault(home))
