"""The identity vault broken under a running service: every route answers, with less, and says so."""

import sqlite3
from pathlib import Path

from tests.serving.live_server import Row, Server, eventually
from tests.serving.load import copy_of, service_on


def change(home: Path, statement: str) -> None:
    connection = sqlite3.connect(home / "vault.sqlite", timeout=10)
    connection.execute(statement)
    connection.commit()
    connection.close()


def posted(server: Server, path: str, body: Row) -> Row:
    answer = server.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found


def failing(server: Server) -> set[str]:
    parts = server.http.get("/v1/health").json()["parts"]
    return {part["part"] for part in parts if part["state"] == "failing"}


def test_no_route_needs_the_vault_to_answer(server: Server, tmp_path: Path) -> None:
    home = copy_of(server, tmp_path / "home")
    with service_on(home) as running:
        full, before = running.recommend("U1"), failing(running)
        told = {"request_id": full["request_id"], "id": full["items"][0]["id"], "outcome": "join"}
        asked = {"recommender": "channel_browser", "query": {"user_id": "U1"}}
        ids = {"recommender": "channel_browser", "prefix": "U"}

        change(home, "ALTER TABLE identities RENAME TO gone")
        lesser = running.recommend("U1")
        assert lesser["degraded"]
        assert "identities-failed" in lesser["warnings"]
        assert not lesser["items"], "an id that may have been erased is not answered"
        for event in ("e1", "e2"):
            counts = posted(running, "/v1/outcomes", {"events": [told | {"event_id": event}]})
            assert (counts["dropped"], counts["accepted"]) == (1, 0)
        verdict = posted(running, "/v1/explain", asked | {"candidate": full["items"][0]["id"]})
        assert verdict["verdict"] == "unknown"
        assert running.http.get("/v1/ids", params=ids).json().keys() == {"ids"}
        assert "the identity vault" in failing(running) - before

        change(home, "ALTER TABLE gone RENAME TO identities")
        eventually(lambda: not running.recommend("U1")["degraded"], 10)
        assert posted(running, "/v1/outcomes", {"events": [told | {"event_id": "e1"}]})["accepted"] == 1
        assert "U1" in running.http.get("/v1/ids", params=ids).json()["ids"]
        assert failing(running) == before
