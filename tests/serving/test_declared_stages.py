"""What a declaration switches on by naming it: discount, context, caps, deadline; on a server of a domain of its own."""

from typing import Any

import pytest

from feature_repo.events import IMPRESSIONS
from tests.serving.live_server import Row, Server, launch, logged
from tests.serving.own_domain import domain_of

pytestmark = pytest.mark.slow

NOON = "2025-08-02T12:00:00Z"


def ask(server: Server, user: str, **more: Any) -> Row:
    return server.recommend(user, recommender="attentive", as_of=NOON, **more)


def ids(answer: Row) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_what_was_just_shown_makes_room_and_comes_back(own_domain: Server) -> None:
    free: dict[str, Any] = {"limit": 5, "caps": {}}
    tried = [ids(ask(own_domain, "U1", dry_run=True, **free)) for _ in range(2)]
    first = ids(ask(own_domain, "U1", **free))
    assert tried == [first, first], "a dry run is no impression"
    second = ids(ask(own_domain, "U1", **free))
    assert not set(first) & set(second)
    assert ids(ask(own_domain, "U2", dry_run=True, **free)) != second
    later = own_domain.recommend(
        "U1", recommender="attentive", as_of="2025-08-04T12:00:00Z", dry_run=True, **free
    )
    assert ids(later) == first, "two days are 48 half-lives"


def test_the_discount_is_known_after_a_restart(own_domain: Server) -> None:
    shown = ask(own_domain, "ada.lovelace@example.org", limit=5, caps={})
    logged(IMPRESSIONS.name, shown["request_id"], 5)
    again = launch(own_domain.home, more=domain_of(own_domain)).wait_until_ready()
    try:
        after = ids(ask(again, "ada.lovelace@example.org", limit=5, caps={}, dry_run=True))
    finally:
        again.terminate()
    assert not set(ids(shown)) & set(after)


def test_context_is_typed_logged_and_counted_with(own_domain: Server) -> None:
    def asked(hour: int) -> Row:
        return ask(
            own_domain,
            "U2",
            dry_run=True,
            caps={},
            limit=20,
            filter="context__local_hour < 12 or channel_activity__members > 5",
            context={"local_hour": hour},
        )

    morning, evening = ids(asked(9)), ids(asked(20))
    assert morning != evening
    answer = ask(own_domain, "U2", limit=2, context={"local_hour": 9, "device": "web"})
    assert {row["context"] for row in logged("impressions", answer["request_id"], 2)} == {
        '{"device": "web", "local_hour": 9}'
    }


@pytest.mark.parametrize(
    ("context", "pointer", "mend"),
    [
        ({"local_hour": 24}, "#/context/local_hour", "from 0 to 23"),
        ({"local_hour": 9.5}, "#/context/local_hour", "whole number"),
        ({"device": "fax"}, "#/context/device", "web, mobile"),
        ({"weather": 1}, "#/context/weather", "local_hour, device"),
    ],
)
def test_a_context_that_does_not_fit_is_refused(
    own_domain: Server, context: dict[str, Any], pointer: str, mend: str
) -> None:
    body = {"recommender": "attentive", "query": {"user_id": "U1"}, "context": context}
    answer = own_domain.http.post("/v1/recommend", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert mend in error["detail"]


def test_declared_caps_hold_unless_the_request_has_others(own_domain: Server) -> None:
    declared = ask(own_domain, "U2", dry_run=True, limit=20)
    firsts = [item["sources"][0] for item in declared["items"]]
    assert max(firsts.count(source) for source in firsts) == 2
    free = ask(own_domain, "U2", dry_run=True, limit=20, caps={})
    assert len(free["items"]) == 20


def test_what_is_declared_is_listed(own_domain: Server) -> None:
    (listed,) = (
        r for r in own_domain.http.get("/v1/recommenders").json()["recommenders"] if r["name"] == "attentive"
    )
    assert listed["deadline_ms"] == 2000
    assert [(c["name"], c["type"], c["low"], c["high"], c["choices"]) for c in listed["context"]] == [
        ("local_hour", "integer", 0, 23, []),
        ("device", "choice", None, None, ["web", "mobile"]),
    ]
