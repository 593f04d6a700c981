"""API keys at a real server: without any, then with them, then rotating while requests go on."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.identity import Vault
from serving import keys
from serving.keys import KEYLESS, SCOPES, Scope
from serving.openapi import document
from serving.problems import MEDIA_TYPE
from tests.serving.live_server import Server, eventually, launch, metric

TAKEN_UP_SECONDS = 5
"""Within which a server must follow the key file: two seconds, and more on a busy machine."""

RECOMMEND: dict[str, Any] = {"recommender": "channel_browser", "query": {"user_id": "U1"}}
PATHS = document("1.0")["paths"]
ROUTES = [(method.upper(), f"/v1{path}") for path, methods in PATHS.items() for method in methods]
KNOWN = ("/v1/recommend", "/v1/recommenders", "/v1/outcomes")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Door:
    """A server that was started without keys and has been given some since."""

    server: Server
    keyless: dict[str, httpx.Response]
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.server.home / "api_keys.json"

    def ask(self, token: str | None, **more: Any) -> httpx.Response:
        headers = bearer(token) if token else {}
        return self.server.http.post("/v1/recommend", json=RECOMMEND | more, headers=headers)

    def body(self, path: str) -> dict[str, Any]:
        """A good request's body, for a path that takes one."""
        answered = self.keyless["here"].json()["request_id"]
        event = {"event_id": "e1", "request_id": answered, "id": "C1", "outcome": "join"}
        return {"events": [event]} if path == "/v1/outcomes" else RECOMMEND

    def until(self, token: str, status: int) -> None:
        """Wait until the server answers a key so."""
        eventually(
            lambda: self.ask(token).status_code == status, TAKEN_UP_SECONDS, lambda: f"still no {status}"
        )


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One server for all tests below: the answers while it had no keys are kept, then it gets its keys."""
    home = tmp_path_factory.mktemp("door") / "home"
    with Vault(home / "vault.sqlite") as vault:
        for workspace in ("acme", "globex"):
            vault.intern(vault.workspace(workspace, create=True), "channel", ["C1"])
    server = launch(home, host="0.0.0.0").wait_until_ready()
    try:
        keyless = {
            "here": server.http.post("/v1/recommend", json=RECOMMEND | {"workspace": "acme"}),
            "proxied": server.http.get("/v1/recommenders", headers={"X-Forwarded-For": "198.51.100.7"}),
        }
        if elsewhere := other_address():
            port = server.http.base_url.port
            keyless["elsewhere"] = httpx.get(f"http://{elsewhere}:{port}/v1/recommenders", timeout=20)
        door = Door(server, keyless)
        for name, scope, workspace in (
            *((scope, scope, "acme") for scope in SCOPES),
            ("globex", "recommend", "globex"),
            ("spare", "recommend", "acme"),
        ):
            door.tokens[name] = keys.add(door.path, name, workspace, [scope], 100_000)[1]
        door.until(door.tokens["spare"], 200)
        yield door
    finally:
        server.terminate()


def other_address() -> str | None:
    """An address of this machine that is no loopback one, None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of a datagram socket: chooses a route and sends nothing
        except OSError:
            return None
        found: str = probe.getsockname()[0]
    return None if found.startswith("127.") else found


def test_a_server_without_keys_says_so_and_answers_this_machine_only(door: Door) -> None:
    assert door.server.said().count(KEYLESS) == 1
    assert door.keyless["here"].status_code == 200
    assert door.keyless["proxied"].status_code == 403
    assert "recommend keys add" in door.keyless["proxied"].json()["detail"]


def test_a_server_without_keys_refuses_the_machines_other_address(door: Door) -> None:
    if "elsewhere" not in door.keyless:
        pytest.skip("this machine has a loopback address only")
    answer = door.keyless["elsewhere"]
    assert (answer.status_code, answer.headers["content-type"]) == (403, MEDIA_TYPE)
    assert answer.json()["type"].endswith(":keys-needed")


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_at_every_route(door: Door, scope: Scope, method: str, path: str) -> None:
    (needed,) = PATHS[path.removeprefix("/v1")][method.lower()]["security"][0]["key"]
    body = door.body(path) if method == "POST" else None
    answer = door.server.http.request(method, path, json=body, headers=bearer(door.tokens[scope]))
    if scope in (needed, "admin"):
        assert answer.status_code not in (401, 403)
        assert answer.status_code == 200 or path not in KNOWN, answer.text
        return
    assert (answer.status_code, answer.headers["content-type"]) == (403, MEDIA_TYPE)
    assert f'error="insufficient_scope", scope="{needed}"' in answer.headers["www-authenticate"]
    assert f"--scope {needed}" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_a_key_and_the_body_is_not_looked_at(
    door: Door, method: str, path: str
) -> None:
    for headers in ({}, bearer("rk_" + "0" * 12 + "_" + "A" * 43), {"Authorization": "Basic dTpw"}):
        answer = door.server.http.request(method, path, content=b"no JSON", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, MEDIA_TYPE)
        assert answer.headers["www-authenticate"].startswith("Bearer realm=")


def test_what_belongs_to_nobody_stays_open(door: Door) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/v1/openapi.json"):
        assert door.server.http.get(path).status_code == 200


def test_a_key_opens_its_own_workspace_only(door: Door) -> None:
    assert door.ask(door.tokens["recommend"]).status_code == 200, (
        "none named: the key's, though there are two"
    )
    assert door.ask(door.tokens["recommend"], workspace="acme").status_code == 200
    assert door.ask(door.tokens["globex"], workspace="globex").status_code == 200
    told = {}
    for name in ("globex", "initech"):
        answer = door.ask(door.tokens["recommend"], workspace=name)
        assert answer.status_code == 403
        told[name] = answer.json()
        assert "'acme'" in told[name]["detail"]
    assert told["globex"] == told["initech"], "whether there is such a workspace is not told"
    batch = door.body("/v1/outcomes") | {"workspace": "globex"}
    answer = door.server.http.post("/v1/outcomes", json=batch, headers=bearer(door.tokens["outcomes"]))
    assert answer.status_code == 403
    assert door.ask(door.tokens["admin"], workspace="globex").status_code == 403


def test_a_revoked_key_is_refused_without_a_restart(door: Door) -> None:
    key, token = keys.add(door.path, "leaver", "acme", ["recommend"], 100_000)
    door.until(token, 200)
    keys.revoke(door.path, key.id)
    door.until(token, 401)
    assert "revoked" in door.ask(token).json()["detail"]


def test_an_expired_key_is_refused_and_told_so(door: Door) -> None:
    until = datetime.now(UTC) + timedelta(seconds=0.2)
    _, token = keys.add(door.path, "guest", "acme", ["recommend"], expires=until)
    eventually(lambda: door.ask(token).json()["type"].endswith(":expired-key"), TAKEN_UP_SECONDS)
    answer = door.ask(token)
    assert answer.status_code == 401
    assert 'error_description="expired"' in answer.headers["www-authenticate"]


def test_a_rotation_fails_no_request(door: Door) -> None:
    old, token = keys.add(door.path, "rotating", "acme", ["recommend"], 100_000)
    door.until(token, 200)
    using, stop = [token], threading.Event()
    statuses: list[int] = []

    def client() -> None:
        with httpx.Client(base_url=door.server.http.base_url, timeout=20) as http:
            while not stop.is_set():
                answer = http.post("/v1/recommend", json=RECOMMEND, headers=bearer(using[0]))
                statuses.append(answer.status_code)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(client) for _ in range(2)]
        try:
            _, fresh = keys.add(door.path, "rotating", "acme", ["recommend"], 100_000)
            door.until(fresh, 200)
            using[0] = fresh
            time.sleep(0.3)  # what is under way with the old key ends
            keys.revoke(door.path, old.id)
            door.until(token, 401)
            time.sleep(0.3)
        finally:
            stop.set()
        for client_ in running:
            client_.result()
    assert len(statuses) > 50
    assert set(statuses) == {200}


def test_more_than_the_rate_is_429_with_the_wait(door: Door) -> None:
    _, token = keys.add(door.path, "slow", "acme", ["recommend"], 5)
    eventually(lambda: door.ask(token).status_code == 200, TAKEN_UP_SECONDS)
    begin = time.monotonic()
    answers = [door.ask(token) for _ in range(60)]
    granted = sum(answer.status_code == 200 for answer in answers)
    assert granted <= 5 + 5 * (time.monotonic() - begin) + 1
    limited = [answer for answer in answers if answer.status_code == 429]
    assert len(limited) == 60 - granted > 0
    for answer in limited:
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["ratelimit-policy"] == '"key";q=5;w=1'
        assert answer.headers["ratelimit"] == '"key";r=0;t=1'
    assert metric(door.server, 'recommend_refusals_total{kind="too-many-requests"}') >= len(limited)
    time.sleep(1)
    assert door.ask(token).status_code == 200


@settings(max_examples=60)
@given(header=st.binary(max_size=80).filter(lambda b: b"\r" not in b and b"\n" not in b))
def test_any_bytes_on_the_wire_are_a_4xx(door: Door, header: bytes) -> None:
    with socket.create_connection(("127.0.0.1", door.server.http.base_url.port or 0), timeout=20) as wire:
        for line in (b"GET /v1/recommenders HTTP/1.1", b"Host: x", b"Connection: close"):
            wire.sendall(line + b"\r\n")
        wire.sendall(b"Authorization: " + header + b"\r\n\r\n")
        status = wire.makefile("rb").readline().split(b" ")[1]
    assert status in (b"400", b"401")


def test_no_key_was_written_anywhere(door: Door) -> None:
    secrets = [token.split("_", 2)[-1] for token in door.tokens.values()]
    said = door.server.said()
    assert not [secret for secret in secrets if secret in said]
    kept = b"".join(p.read_bytes() for p in door.server.home.rglob("*") if p.is_file())
    assert not [secret for secret in secrets if secret.encode() in kept]
