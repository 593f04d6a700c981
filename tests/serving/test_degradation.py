"""What is down behind the service is never a 5xx: the answer is a lesser one, and says so."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import lmdb
import pytest
import redis

from feature_repo.home import PROJECT
from feature_repo.stores.packed.keys import view_prefix
from tests.redis_server import RedisServer, free_port
from tests.serving.live_server import Row, Server, environment, eventually, launch, logged, metric

ON_REDIS = """
project: recommend
provider: local
registry:
  registry_store_type: feature_repo.embedded.HomeRegistryStore
  path: registry.db
online_store:
  type: feature_repo.stores.packed.online_store.PackedOnlineStore
  backend: redis
  port: {port}
offline_store:
  type: feature_repo.stores.duckdb.store.AsofDuckDBOfflineStore
batch_engine:
  type: feature_repo.stores.packed.engine.PackedComputeEngine
entity_key_serialization_version: 3
"""


@pytest.mark.slow
def test_a_store_that_is_gone_leaves_the_last_rows_or_else_the_popular_list_and_heals(tmp_path: Path) -> None:
    store = RedisServer(free_port())
    store.start()
    client = redis.Redis(port=store.port)
    home, settings = tmp_path / "home", tmp_path / "feature_store.yaml"
    settings.write_text(ON_REDIS.format(port=store.port))
    build = [sys.executable, str(Path(__file__).with_name("small_home.py"))]
    subprocess.run(build, cwd=PROJECT, env=environment(home, settings), check=True)
    server = launch(home, settings).wait_until_ready()
    own = {"ids": ["C3", "C9"], "mode": "instead"}
    try:
        healthy = server.recommend("U1", limit=3)
        chosen = server.recommend("U1", limit=3, candidates=own)
        rows = {key: client.get(key) for key in client.scan_iter()}
        store.stop()
        served_before = [server.recommend("U1", limit=3) for _ in range(5)]
        never_served = server.recommend("U2", limit=3)
        chosen_again = server.recommend("U1", limit=3, candidates=own)
        store.start()
        client.mset(rows)
        healed = server.recommend("U1", limit=3)
    finally:
        server.terminate()
        store.stop()

    assert (healthy["rung"], healthy["degraded"]) == ("heuristic", False)
    for answer in served_before:
        assert (answer["rung"], answer["degraded"]) == ("heuristic", True)
        assert answer["warnings"] == ["store-failed", "cached-rows"]
        assert answer["items"] == healthy["items"], (
            "candidates of the caller's own have not taken their place"
        )
    assert (never_served["rung"], never_served["degraded"]) == ("popularity", True)
    assert never_served["warnings"] == ["store-failed"]
    assert [item["id"] for item in never_served["items"]] == ["C250", "C249", "C248"]
    assert chosen_again["degraded"]
    assert {item["id"] for item in chosen_again["items"]} <= {item["id"] for item in chosen["items"]}
    assert (healed["items"], healed["degraded"]) == (healthy["items"], False)
    assert server.said().count("ranking of channel_browser failed") == 1
    assert server.said().count("ranking of channel_browser works again") == 1


def test_a_damaged_row_is_left_out_and_counted_and_the_request_answered(server: Server) -> None:
    corrupt = 'recommend_feature_rows_total{state="corrupt",view="channel_activity"}'
    before, healthy = metric(server, corrupt), server.recommend(limit=100)
    rows = _rows_of(server, "channel_activity")
    assert len(rows) > 100
    _put(server, {key: row[:-1] for key, row in rows.items()})
    try:
        answer = server.recommend(limit=100)
    finally:
        _put(server, rows)
    assert not answer["degraded"]
    assert len(answer["items"]) == len(healthy["items"])
    assert answer["items"] != healthy["items"], "they are ranked without the view"
    assert metric(server, corrupt) - before > 100
    assert "feature view channel_activity" in server.said()
    assert "stored rows are damaged; materialize it again" in server.said()
    assert server.recommend(limit=100)["items"] == healthy["items"]


def test_what_is_older_than_its_ttl_is_no_candidate_and_no_feature(server: Server) -> None:
    answer = server.recommend(limit=3, as_of="2025-08-09T00:00:01Z")
    assert (answer["rung"], answer["degraded"]) == ("popularity", True)
    assert server.recommend(limit=3, as_of="2025-08-09T00:00:00Z")["rung"] == "heuristic"


def test_a_store_whose_file_is_taken_away_goes_on_from_the_open_one(server: Server) -> None:
    healthy = server.recommend(limit=3)
    store = server.home / "feast" / "online"
    aside = store.rename(store.with_suffix(".aside"))
    try:
        answers = [server.recommend(limit=3) for _ in range(3)]
    finally:
        aside.rename(store)
    assert all(a["items"] == healthy["items"] and not a["degraded"] for a in answers)


def test_a_day_of_the_log_that_cannot_be_written_is_said_and_nothing_is_lost(server: Server) -> None:
    folder = server.home / "log" / "impressions" / "day=2025-08-05"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the day's folder should be")
    answer = server.recommend(limit=3, as_of="2025-08-05T12:00:00Z")
    assert (len(answer["items"]), answer["degraded"]) == (3, False)
    eventually(lambda: "the event log's Parquet files failed" in server.said(), 5)
    health = server.http.get("/v1/health").json()
    part = log_part(server)
    assert (health["ready"], part["state"], health["unlogged_rows"]) == (False, "failing", 0)
    assert "day=2025-08-05" in part["detail"]
    assert server.http.get("/readyz").status_code == 200, "it answers"
    folder.unlink()
    assert len(logged("impressions", answer["request_id"], 3)) == 3
    eventually(lambda: log_part(server)["state"] == "working", 5)
    assert log_part(server)["detail"] is None


@pytest.mark.parametrize("recommender", ["channel_browser", "composer_dm"])
def test_before_feast_apply_it_serves_and_says_what_to_do(bare_server: Server, recommender: str) -> None:
    bare_server.wait_until_ready()
    answer = bare_server.recommend("anybody", recommender=recommender)
    assert (answer["items"], answer["degraded"], answer["rung"]) == ([], True, "popularity")
    said = bare_server.said()
    assert f"no promoted model for {recommender}, serving its heuristic" in said
    assert f"`recommend promote {recommender} latest`" in said
    assert f"popularity of {recommender} failed" in said
    assert "run `feast apply` on the feature repo" in said
    assert "Traceback" not in said


def log_part(server: Server) -> Row:
    parts: list[Row] = server.http.get("/v1/health").json()["parts"]
    (part,) = [p for p in parts if p["part"] == "the event log's Parquet files"]
    return part


def _rows_of(server: Server, view: str) -> dict[bytes, bytes]:
    prefix = view_prefix("recommend", view)
    with lmdb.open(_store(server), readonly=True) as store, store.begin() as transaction:
        return {key: row for key, row in transaction.cursor() if key.startswith(prefix)}


def _put(server: Server, rows: Mapping[bytes, bytes]) -> None:
    with lmdb.open(_store(server)) as store, store.begin(write=True) as transaction:
        transaction.cursor().putmulti(list(rows.items()))


def _store(server: Server) -> str:
    return str(server.home / "feast" / "online")
