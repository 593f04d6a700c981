"""An experiment from its declaration to the log, on a server of a domain of its own."""

import pytest

from feature_repo.experiment import Variant
from feature_repo.identity import Vault
from serving.assignment import assign
from tests.serving.live_server import Server, logged
from tests.serving.own_domain import ARMS, ENDS
from tests.serving.small_home import USERS

pytestmark = pytest.mark.slow


def variant(server: Server, user: str) -> Variant:
    with Vault(server.home / "vault.sqlite") as vault:
        (unit,) = vault.lookup(vault.workspace("acme"), "user", [user]).tolist()
    return assign(ARMS, unit)


def test_every_user_is_answered_by_their_arm_and_the_log_says_so(own_domain: Server) -> None:
    outside = own_domain.recommend("U1", as_of=ENDS.isoformat())
    assert (outside["experiment"], outside["variant"]) == (None, "champion")
    seen = set()
    for user in USERS:
        arm = variant(own_domain, user)
        seen.add(arm.name)
        champion = own_domain.recommend(user, as_of=ENDS.isoformat(), limit=5)
        answers = [own_domain.recommend(user, as_of="2025-08-02", limit=5) for _ in range(6)]
        assert {(a["experiment"], a["variant"]) for a in answers} == {("arms", arm.name)}
        rows = logged("impressions", answers[0]["request_id"], 5)
        assert {r["variant"] for r in rows} == {f"arms/{arm.name}"}
        shown = [[i["id"] for i in a["items"]] for a in answers]
        best = [i["id"] for i in champion["items"]]
        propensities = [i["propensity"] for i in answers[0]["items"]]
        logged_propensities = [r["propensity"] for r in sorted(rows, key=lambda r: r["position"])]
        assert logged_propensities == pytest.approx(propensities)
        if arm.name == "control":
            assert shown == [best] * 6
        elif arm.name == "lost":
            assert shown == [best] * 6
            assert "variant-unavailable" in answers[0]["warnings"]
        elif arm.name == "newest" and champion["rung"] != "popularity":
            assert shown[0] != best
            assert answers[0]["model_version"] != champion["model_version"]
        elif arm.name == "explores":
            assert all(len(set(best) - set(s)) == 1 for s in shown), "one of five gives way each time"
            assert len({tuple(s) for s in shown}) > 1
            assert sorted({round(p, 6) for p in propensities}) == [round(1 / 25, 6), 0.8]
    assert len(seen) > 1
    assert "an experiment on channel_browser names nosuchversion" in own_domain.said()


def test_a_stranger_takes_part_in_no_experiment(own_domain: Server) -> None:
    answer = own_domain.recommend("nobody we know", as_of="2025-08-02")
    assert (answer["experiment"], answer["variant"], answer["rung"]) == (None, "champion", "popularity")


def test_a_shadow_is_logged_beside_every_answer_and_shown_in_none(own_domain: Server) -> None:
    reverse = own_domain.recommend("U1", as_of="2025-08-02", limit=5, variant="reversed", dry_run=True)
    for _ in range(3):
        shown = own_domain.recommend("U1", as_of="2025-08-02", limit=5)
        assert shown["variant"] != "reversed"
        rows = sorted(logged("shadows", shown["request_id"], 5), key=lambda row: row["position"])
        with Vault(own_domain.home / "vault.sqlite") as vault:
            names = vault.reveal(1, "channel", [row["candidate_id"] for row in rows])
        assert names == [item["id"] for item in reverse["items"]]
        assert {row["variant"] for row in rows} == {"arms/reversed"}
        assert {row["model_version"] for row in rows} == {reverse["model_version"]}
        assert [row["position"] for row in rows] == [1, 2, 3, 4, 5]


def test_a_dry_run_may_ask_for_any_variant_that_is_listed(own_domain: Server) -> None:
    (listed,) = (
        r
        for r in own_domain.http.get("/v1/recommenders").json()["recommenders"]
        if r["name"] == "channel_browser"
    )
    names = [v["name"] for v in listed["variants"]]
    assert names == ["champion", "declared", *(v.name for v in ARMS.variants)]
    assert [v["name"] for v in listed["variants"] if v["shadow"]] == ["reversed"]
    for variant in listed["variants"]:
        answer = own_domain.recommend("U1", as_of="2025-08-02", variant=variant["name"], dry_run=True)
        assert (answer["variant"], answer["model_version"]) == (variant["name"], variant["model_version"])
    body = {
        "recommender": "channel_browser",
        "query": {"user_id": "U1"},
        "variant": "nosuch",
        "dry_run": True,
    }
    refused = own_domain.http.post("/v1/recommend", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/variant")
    refused = own_domain.http.post("/v1/recommend", json=body | {"variant": "declared", "dry_run": False})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/variant")
