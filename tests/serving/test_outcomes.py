"""POST /v1/outcomes: logged once, counted when repeated, refused when they cannot be ours."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feature_repo.catalog import recommender
from feature_repo.identity import Vault
from serving import request_id
from tests.serving.live_server import Server, eventually, logged, metric

NOW = datetime(2025, 8, 2, tzinfo=UTC)  # where the server's clock starts


def event(answer: dict[str, Any], event_id: str, rank: int = 1, **more: Any) -> dict[str, Any]:
    item = answer["items"][rank - 1]["id"]
    return {"event_id": event_id, "request_id": answer["request_id"], "id": item, "outcome": "join"} | more


def post(server: Server, *events: dict[str, Any]) -> dict[str, int]:
    answer = server.http.post("/v1/outcomes", json={"workspace": "acme", "events": list(events)})
    assert answer.status_code == 200, answer.text
    counts: dict[str, int] = answer.json()
    assert sum(counts.values()) == len(events)
    return counts


def counted(**counts: int) -> dict[str, int]:
    return {"accepted": 0, "duplicates": 0, "late": 0, "unknown": 0, "dropped": 0} | counts


def test_an_outcome_reaches_the_log(server: Server) -> None:
    answer = server.recommend()
    assert post(server, event(answer, "a-1", rank=3, at="2025-08-05T10:00:00Z"))["accepted"] == 1

    (row,) = logged("outcomes", answer["request_id"], 1)

    with Vault(server.home / "vault.sqlite") as vault:
        workspace = vault.workspace("acme")
        (channel,) = vault.lookup(workspace, "channel", [answer["items"][2]["id"]])
        (event_id,) = vault.pseudonyms(workspace, "event", ["a-1"])
    assert (row["candidate_id"], row["event_id"], row["workspace_id"]) == (channel, event_id, workspace)
    assert (row["recommender"], row["outcome"]) == (
        "channel_browser",
        recommender("channel_browser").outcome.name,
    )
    assert row["event_timestamp"] == datetime(2025, 8, 5, 10, tzinfo=UTC)


def test_a_repeat_is_counted_and_not_written_again(server: Server) -> None:
    answer = server.recommend()
    first, second = event(answer, "b-1"), event(answer, "b-2", rank=2)
    assert post(server, first, first, second) == counted(accepted=2, duplicates=1)
    assert post(server, second, first)["duplicates"] == 2
    last = event(answer, "b-3", rank=3)
    assert post(server, last)["accepted"] == 1
    assert len(logged("outcomes", answer["request_id"], 3)) == 3


def test_a_request_id_of_no_recommender_here_is_unknown(server: Server) -> None:
    answer = server.recommend()
    elsewhere = request_id.text(request_id.new("a recommender of another server"), NOW)
    before = metric(server, 'recommend_outcomes_total{result="unknown"}')
    stray = event(answer, "c-1", request_id=elsewhere)
    assert post(server, stray, event(answer, "c-2")) == counted(accepted=1, unknown=1)
    assert metric(server, 'recommend_outcomes_total{result="unknown"}') == before + 1
    (row,) = logged("unattributed_outcomes", elsewhere, 1)
    assert (row["reason"], row["outcome"]) == ("unknown_request", "join")
    assert (row["recommender"], row["candidate_id"]) == (None, None)
    assert post(server, stray) == counted(duplicates=1)


@pytest.mark.parametrize(("recommender_name", "user"), [("channel_browser", "U1"), ("composer_dm", "U1")])
def test_after_the_window_an_outcome_is_late_and_stored_apart(
    server: Server, recommender_name: str, user: str
) -> None:
    window = recommender(recommender_name).outcome.window
    answered = NOW - window - timedelta(days=1)
    issued = request_id.text(request_id.new(recommender_name), answered)
    kind = {"channel_browser": "C1", "composer_dm": "U2"}[recommender_name]
    base = {"request_id": issued, "id": kind, "outcome": "join"}
    last, past = answered + window, answered + window + timedelta(seconds=2)
    in_time = base | {"event_id": f"l-1-{recommender_name}", "at": last.isoformat()}
    too_late = base | {"event_id": f"l-2-{recommender_name}", "at": past.isoformat()}
    assert post(server, in_time, too_late) == counted(accepted=1, late=1)
    assert [r["event_timestamp"] for r in logged("outcomes", issued, 1)] == [last]
    (row,) = logged("unattributed_outcomes", issued, 1)
    assert (row["reason"], row["event_timestamp"], row["recommender"]) == ("late", past, recommender_name)
    assert post(server, too_late) == counted(duplicates=1)


def test_an_item_that_was_seen_is_an_outcome_like_any_other(server: Server) -> None:
    answer = server.recommend()
    assert post(server, event(answer, "s-1", outcome="seen")) == counted(accepted=1)
    assert logged("outcomes", answer["request_id"], 1)[0]["outcome"] == "seen"


def test_one_unknown_candidate_refuses_the_whole_batch(server: Server) -> None:
    answer = server.recommend()
    good, bad = event(answer, "d-1"), event(answer, "d-2", id="no such channel")
    refused = server.http.post("/v1/outcomes", json={"events": [good, bad]})
    assert refused.status_code == 400
    assert [e["pointer"] for e in refused.json()["errors"]] == ["#/events/1/id"]
    assert post(server, good)["accepted"] == 1, "nothing of the refused batch was taken"


def test_no_raw_id_reaches_the_disk_but_for_the_vault(server: Server) -> None:
    raw = "ada.lovelace@example.org"
    answer = server.recommend(raw, exclude=["excluded.person@example.org"])
    assert not answer["degraded"]
    assert answer["rung"] != "popularity"
    post(server, event(answer, "event.of.ada@example.org"))
    logged("outcomes", answer["request_id"], 1)
    logged("impressions", answer["request_id"], 10)
    files = [f for f in server.home.rglob("*") if f.is_file()]
    planted = [raw.encode(), b"excluded.person", b"event.of.ada"]
    holders = {f.name for f in files for p in planted if p in content(f)}
    assert holders <= {"vault.sqlite", "vault.sqlite-wal"}
    assert holders, "the planted id is looked for in the right place"
    assert all(p.decode() not in server.said() for p in planted)


def content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # a segment of the log, whose rows are in Parquet by now
        return b""


def test_rows_written_are_counted(server: Server) -> None:
    sample = 'recommend_log_rows_total{result="written",table="impressions"}'
    before = metric(server, sample)
    server.recommend(limit=4)
    eventually(lambda: metric(server, sample) >= before + 4, 10)
    assert metric(server, sample) == before + 4
