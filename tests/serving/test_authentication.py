"""Who calls: the decision on any header, any address and any time."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import keys
from serving.authentication import LOCAL, Gate
from serving.key_ring import KeyRing
from serving.keys import SCOPES, Scope
from serving.openapi import document
from serving.problems import Problem

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PATHS = document("1.0")["paths"]
NEEDED: dict[str, Scope] = {
    "/v1/recommend": "recommend",
    "/v1/recommenders": "recommend",
    "/v1/outcomes": "outcomes",
}


def asked(
    *authorization: bytes,
    client: tuple[str, int] | None = ("127.0.0.1", 1),
    more: tuple[bytes, bytes] | None = None,
    host: bytes = b"127.0.0.1:3000",
) -> dict[str, Any]:
    """An ASGI scope."""
    headers = [(b"host", host), *((b"authorization", value) for value in authorization)]
    return {"type": "http", "headers": [*headers, more] if more else headers, "client": client}


def refusal(gate: Gate, request: dict[str, Any], needed: Scope = "recommend") -> Problem:
    with pytest.raises(Problem) as raised:
        gate.admit(request, needed)
    return raised.value


@dataclass
class Clock:
    """Both clocks of a gate, set by hand."""

    wall: datetime = NOON
    ns: int = 10**9


@dataclass(frozen=True)
class Guarded:
    """A gate with one key."""

    gate: Gate
    clock: Clock
    token: bytes
    path: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    path = tmp_path_factory.mktemp("guarded") / "api_keys.json"
    _, token = keys.add(path, "shop", "acme", ["recommend"], keys.MAX_RATE)
    clock = Clock()
    return Guarded(Gate(KeyRing(path), lambda: clock.wall, lambda: clock.ns), clock, token.encode(), path)


@given(header=st.binary(max_size=120))
def test_any_bytes_in_the_header_are_a_refusal(guarded: Guarded, header: bytes) -> None:
    problem = refusal(guarded.gate, asked(header))
    assert problem.details.status == 401
    assert problem.headers["WWW-Authenticate"].startswith('Bearer realm="recommend"')
    assert problem.headers["WWW-Authenticate"].isascii()


@given(data=st.data())
def test_no_key_but_the_right_one_is_let_in(guarded: Guarded, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(guarded.token) - 1))
    put = data.draw(st.binary(max_size=3))
    changed = guarded.token[:at] + put + guarded.token[at + 1 :]
    if changed == guarded.token:
        assert guarded.gate.admit(asked(b"Bearer " + changed), "recommend").own_workspace == "acme"
    else:
        assert refusal(guarded.gate, asked(b"Bearer " + changed)).kind == "invalid-key"


@pytest.mark.parametrize("form", [b"Bearer %b", b"bearer %b", b"BEARER   %b", b"Bearer %b  "])
def test_the_scheme_is_read_as_the_standard_says(guarded: Guarded, form: bytes) -> None:
    caller = guarded.gate.admit(asked(form % guarded.token), "recommend")
    assert (caller.own_workspace, caller.scopes) == ("acme", frozenset({"recommend"}))


def test_without_credentials_no_error_code_is_sent_and_with_wrong_ones_it_is(guarded: Guarded) -> None:
    for none in (asked(), asked(b"Basic dTpw"), asked(b"Bearerx"), asked(guarded.token)):
        problem = refusal(guarded.gate, none)
        assert (problem.kind, problem.headers["WWW-Authenticate"]) == ("no-key", 'Bearer realm="recommend"')
        assert "Bearer rk_" in problem.details.detail
    twice = asked(b"Bearer " + guarded.token, b"Bearer " + guarded.token)
    for wrong in (asked(b"Bearer"), asked(b"Bearer "), asked(b"Bearer rk_1_2"), twice):
        problem = refusal(guarded.gate, wrong)
        assert problem.kind == "invalid-key"
        assert 'error="invalid_token"' in problem.headers["WWW-Authenticate"]


def test_an_unknown_id_and_a_wrong_secret_are_told_the_same_and_take_as_long(guarded: Guarded) -> None:
    other = b"a" if guarded.token[-1:] != b"a" else b"b"
    wrong_secret = asked(b"Bearer " + guarded.token[:-1] + other)
    unknown_id = asked(b"Bearer rk_" + b"0" * 12 + guarded.token[15:])
    told = [refusal(guarded.gate, request) for request in (wrong_secret, unknown_id)]
    assert told[0].details == told[1].details
    assert told[0].headers == told[1].headers

    def fastest(request: dict[str, Any]) -> int:
        spans = []
        for _ in range(500):
            begin = time.perf_counter_ns()
            with pytest.raises(Problem):
                guarded.gate.admit(request, "recommend")
            spans.append(time.perf_counter_ns() - begin)
        return min(spans)

    assert fastest(unknown_id) > fastest(wrong_secret) / 2


def test_a_key_is_valid_until_the_instant_of_its_expiry(tmp_path: Path) -> None:
    path, until = tmp_path / "keys.json", datetime(2100, 1, 1, tzinfo=UTC)
    _, token = keys.add(path, "shop", "acme", ["recommend"], expires=until)
    clock = Clock(until - timedelta(microseconds=1))
    gate = Gate(KeyRing(path), lambda: clock.wall, lambda: clock.ns)
    request = asked(b"Bearer " + token.encode())
    assert gate.admit(request, "recommend").own_workspace == "acme"
    clock.wall = until
    problem = refusal(gate, request)
    assert (problem.details.status, problem.kind) == (401, "expired-key")
    assert "2100-01-01" in problem.details.detail


def test_the_rate_is_the_keys_own_and_counts_in_the_given_clock(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", Clock()
    tokens = [keys.add(path, "shop", "acme", ["recommend"], 3)[1].encode() for _ in range(2)]
    gate = Gate(KeyRing(path), lambda: clock.wall, lambda: clock.ns)
    for _ in range(3):
        gate.admit(asked(b"Bearer " + tokens[0]), "recommend")
    problem = refusal(gate, asked(b"Bearer " + tokens[0]))
    assert problem.details.status == 429
    assert problem.headers == {
        "Retry-After": "1",
        "RateLimit-Policy": '"key";q=3;w=1',
        "RateLimit": '"key";r=0;t=1',
    }
    gate.admit(asked(b"Bearer " + tokens[1]), "recommend")
    clock.ns += 10**9 // 3 + 1
    gate.admit(asked(b"Bearer " + tokens[0]), "recommend")


@pytest.mark.parametrize(
    ("client", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.2", False),
        ("10.0.0.1", False),
        ("fd00::2", False),
        ("::ffff:192.0.2.2", False),
        ("0.0.0.0", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_without_keys_only_this_machine_is_answered(tmp_path: Path, client: str | None, here: bool) -> None:
    gate = Gate(KeyRing(tmp_path / "none.json"))
    request = asked(client=None if client is None else (client, 1))
    for scope in SCOPES:
        if here:
            assert gate.admit(request, scope).workspace("any") == "any"
        else:
            problem = refusal(gate, request, scope)
            assert (problem.details.status, problem.kind) == (403, "keys-needed")
            assert "recommend keys add" in problem.details.detail


@pytest.mark.parametrize("header", [b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"])
def test_without_keys_a_proxy_on_this_machine_is_not_taken_for_its_client(
    tmp_path: Path, header: bytes
) -> None:
    gate = Gate(KeyRing(tmp_path / "none.json"))
    assert refusal(gate, asked(more=(header, b"127.0.0.1"))).kind == "keys-needed"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        (b"localhost", True),
        (b"LocalHost:3000", True),
        (b"127.0.0.1", True),
        (b"127.8.9.10:65535", True),
        (b"[::1]", True),
        (b"[::1]:3000", True),
        (b"attacker.example", False),
        (b"attacker.example:3000", False),
        (b"localhost.attacker.example", False),
        (b"127.0.0.1.attacker.example", False),
        (b"localhost@attacker.example", False),
        (b"attacker.example#localhost", False),
        (b"192.0.2.2:3000", False),
        (b"0.0.0.0:3000", False),
        (b"127.1", False),
        (b"127.0.0.1:", False),
        (b"::1", False),
        (b"[127.0.0.1]", False),
        (b"[::1", False),
        (b"[::2]:3000", False),
        (b"", False),
        (b"localhost\xff", False),
    ],
)
def test_without_keys_the_service_answers_to_the_names_of_this_machine(
    tmp_path: Path, host: bytes, own: bool
) -> None:
    gate = Gate(KeyRing(tmp_path / "none.json"))
    for scope in SCOPES:
        if own:
            assert gate.admit(asked(host=host), scope) == LOCAL
        else:
            problem = refusal(gate, asked(host=host), scope)
            assert (problem.details.status, problem.kind) == (403, "foreign-host")
            assert "localhost" in problem.details.detail


@given(label=st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), port=st.integers(0, 65535))
def test_no_registered_name_is_the_machines_own(label: str, port: int) -> None:
    gate = Gate(KeyRing(Path("there is no such file")))
    for host in (f"{label}.example:{port}", f"localhost.{label}:{port}", f"127.0.0.1.{label}:{port}"):
        assert refusal(gate, asked(host=host.encode())).kind == "foreign-host"


def test_without_keys_one_host_is_named(tmp_path: Path) -> None:
    gate = Gate(KeyRing(tmp_path / "none.json"))
    assert refusal(gate, asked(more=(b"host", b"127.0.0.1:3000"))).kind == "foreign-host"
    nameless = asked()
    nameless["headers"] = []
    assert refusal(gate, nameless).kind == "foreign-host"


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (b"http://localhost:3000", True),
        (b"https://localhost:3000", True),
        (b"HTTP://LOCALHOST:3000", True),
        (b"http://localhost:3001", False),
        (b"http://localhost", False),
        (b"http://127.0.0.1:3000", False),
        (b"https://attacker.example", False),
        (b"http://localhost:3000.attacker.example", False),
        (b"http://attacker.example@localhost:3000", False),
        (b"ftp://localhost:3000", False),
        (b"localhost:3000", False),
        (b"null", False),
        (b"", False),
    ],
)
def test_without_keys_a_page_of_another_origin_is_refused(tmp_path: Path, origin: bytes, own: bool) -> None:
    gate = Gate(KeyRing(tmp_path / "none.json"))
    request = asked(host=b"localhost:3000", more=(b"origin", origin))
    for scope in SCOPES:
        if own:
            assert gate.admit(request, scope) == LOCAL
        else:
            problem = refusal(gate, request, scope)
            assert (problem.details.status, problem.kind) == (403, "foreign-origin")
            assert "key" in problem.details.detail


def test_a_key_is_enough_whatever_page_sends_it(guarded: Guarded) -> None:
    bearer = b"Bearer " + guarded.token
    request = asked(bearer, host=b"shop.example", more=(b"origin", b"https://shop.example:8443"))
    assert guarded.gate.admit(request, "recommend").own_workspace == "acme"


def test_every_operation_of_the_document_names_its_scope_and_refusals() -> None:
    for path, methods in PATHS.items():
        for operation in methods.values():
            ((needed,), optional) = operation["security"][0]["key"], operation["security"][1]
            assert needed == NEEDED.get(f"/v1{path}", needed)
            assert needed in SCOPES
            assert optional == {}, "none while no key is configured"
            assert {"401", "403", "429"} <= set(operation["responses"])
    scheme = document("1.0")["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
