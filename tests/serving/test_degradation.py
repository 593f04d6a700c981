"""What is down behind the service is never a 5xx: the answer is a lesser one, and says so."""

import pytest

from tests.serving.live_server import Server, eventually


def test_a_broken_store_degrades_to_the_last_popular_list_and_heals(server: Server) -> None:
    healthy = server.recommend(limit=3)
    store = server.home / "feast" / "online.db"
    intact = store.read_bytes()
    store.write_bytes(b"not a database at all" * 1000)
    try:
        broken = [server.recommend(limit=3) for _ in range(5)]
    finally:
        store.write_bytes(intact)

    assert all(b["degraded"] and b["rung"] == "popularity" for b in broken)
    assert [item["id"] for item in broken[0]["items"]] == ["C250", "C249", "C248"]
    assert server.said().count("ranking of channel_browser failed") == 1
    assert server.recommend(limit=3)["items"] == healthy["items"]
    eventually(lambda: "ranking of channel_browser works again" in server.said(), 5)


def test_a_store_whose_file_is_taken_away_goes_on_from_the_open_one(server: Server) -> None:
    healthy = server.recommend(limit=3)
    store = server.home / "feast" / "online.db"
    aside = store.rename(store.with_suffix(".aside"))
    try:
        answers = [server.recommend(limit=3) for _ in range(3)]
    finally:
        aside.rename(store)
    assert all(a["items"] == healthy["items"] and not a["degraded"] for a in answers)


def test_a_log_that_cannot_be_written_is_said_and_the_answer_given(server: Server) -> None:
    folder = server.home / "log" / "impressions" / "day=2024-02-29"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the day's folder should be")
    answer = server.recommend(limit=3, as_of="2024-02-29T12:00:00Z")
    assert (len(answer["items"]), answer["degraded"]) == (3, False)
    eventually(lambda: "the event log failed" in server.said(), 5)
    failed = 'recommend_log_rows_total{result="failed",table="impressions"} 3.0'
    assert failed in server.http.get("/metrics").text
    folder.unlink()


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
