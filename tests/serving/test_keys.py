"""The key file and ``recommend keys``: what is kept, what is printed, and who can read it."""

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import recommend
from feature_repo.clock import now
from feature_repo.errors import RecommendError
from feature_repo.home import PROJECT, keys_path
from feature_repo.identity import Vault
from serving import keys
from serving.key_ring import KeyRing
from serving.keys import KEYLESS
from tests.serving.live_server import environment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "api_keys.json"


def parsed(token: str) -> tuple[str, bytes]:
    found = keys.parse(token.encode())
    assert found is not None
    return found


def test_a_key_is_read_back_as_it_was_made(path: Path) -> None:
    until = datetime(2100, 1, 1, tzinfo=UTC)
    key, token = keys.add(path, "shop", "acme", ["outcomes", "recommend", "outcomes"], 7, until)
    assert keys.read(path) == (key,)
    assert (key.name, key.workspace, key.rate, key.expires) == ("shop", "acme", 7, until)
    assert key.scopes == ("recommend", "outcomes")
    assert now() - key.created < timedelta(minutes=1)
    assert token == f"rk_{key.id}_{parsed(token)[1].decode()}"
    assert token.endswith(key.last_four)


def test_the_secret_is_nowhere_on_disk_and_the_file_is_its_owners(path: Path) -> None:
    _, token = keys.add(path, "shop", "acme", ["admin"])
    secret = parsed(token)[1]
    assert len(secret) == 43, "256 bits in base64"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for file in path.parent.rglob("*"):
        assert secret not in file.read_bytes()
    assert {p.name for p in path.parent.iterdir()} == {"api_keys.json", "api_keys.lock"}, "no draft is left"


def test_two_keys_of_one_name_live_side_by_side_until_one_is_revoked(path: Path) -> None:
    old, old_token = keys.add(path, "shop", "acme", ["recommend"])
    new, new_token = keys.add(path, "shop", "acme", ["recommend"])
    ring = KeyRing(path)
    assert ring.find(*parsed(old_token)) == old
    assert ring.find(*parsed(new_token)) == new
    assert keys.revoke(path, old.id) == old
    ring.refresh()
    assert ring.find(*parsed(old_token)) is None
    assert ring.find(*parsed(new_token)) == new


def test_a_secret_fits_its_own_id_only(path: Path) -> None:
    one, token = keys.add(path, "one", "acme", ["recommend"])
    other, _ = keys.add(path, "other", "acme", ["admin"])
    ring, (_, secret) = KeyRing(path), parsed(token)
    assert ring.find(one.id, secret) == one
    assert ring.find(other.id, secret) is None
    assert ring.find("0" * 12, secret) is None
    assert ring.find(one.id, secret[:-1] + bytes([secret[-1] ^ 1])) is None


def test_keys_added_at_once_are_all_kept(path: Path) -> None:
    def add(n: int) -> str:
        return keys.add(path, f"k{n}", "acme", ["recommend"])[0].id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(add, range(40)))
    read = keys.read(path)
    assert read is not None
    assert {key.id for key in read} == made
    assert len(made) == 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"workspace": ""}, "--workspace"),
        ({"scopes": []}, "--scope"),
        ({"scopes": ["root"]}, "recommend, outcomes, admin"),
        ({"rate": 0}, "--rate 0"),
        ({"rate": 10**7}, "1 to 1000000"),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "later"),
    ],
)
def test_what_cannot_be_a_key_says_the_mend(path: Path, change: dict[str, object], said: str) -> None:
    good: dict[str, object] = {"name": "shop", "workspace": "acme", "scopes": ["recommend"]}
    with pytest.raises(RecommendError, match=said):
        keys.add(path, **good | change)  # type: ignore[arg-type]
    assert keys.read(path) is None


DAMAGES = (
    ("scopes", ["root"]),
    ("scopes", "admin"),
    ("rate", 0),
    ("rate", "200"),
    ("created", "2026-01-01T00:00:00"),
    ("expires", "soon"),
    ("digest", "xyz"),
    ("workspace", None),
)


@pytest.mark.parametrize(("field", "value"), DAMAGES)
def test_a_damaged_record_is_one_line_that_quotes_nothing(path: Path, field: str, value: object) -> None:
    key, _ = keys.add(path, "shop", "acme", ["recommend"])
    document = json.loads(path.read_text())
    document["keys"][0][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(RecommendError, match="damaged") as raised:
        keys.read(path)
    assert key.digest.hex() not in str(raised.value)
    assert "\n" not in str(raised.value)


@example(b"[" * 100_000)
@given(st.binary(max_size=60))
def test_any_bytes_as_the_file_are_keys_or_a_mendable_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("file") / "api_keys.json"
    path.write_bytes(content)
    with pytest.raises(RecommendError, match="damaged"):
        keys.read(path)


def test_a_running_ring_outlives_a_damaged_and_a_missing_file(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, token = keys.add(path, "shop", "acme", ["recommend"])
    whole = path.read_bytes()
    ring = KeyRing(path)
    path.write_bytes(whole[:-20])
    ring.refresh()
    ring.refresh()
    assert ring.find(*parsed(token)) == key
    assert [r.message for r in caplog.records if "damaged" in r.message] == [caplog.records[-1].message]
    path.unlink()
    ring.refresh()
    assert "is gone" in caplog.records[-1].message
    assert ring.find(*parsed(token)) == key
    assert not ring.keyless
    path.write_bytes(b"{")
    with pytest.raises(RecommendError, match="damaged"):
        KeyRing(path)


def test_revoking_the_last_key_opens_nothing(path: Path) -> None:
    key, token = keys.add(path, "shop", "acme", ["recommend"])
    keys.revoke(path, key.id)
    ring = KeyRing(path)
    assert not ring.keyless
    assert ring.find(*parsed(token)) is None
    with pytest.raises(RecommendError, match="keys list"):
        keys.revoke(path, key.id)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["recommend", "keys", *arguments])
    with pytest.raises(SystemExit) as end:
        recommend.main()
    assert end.value.code is None or isinstance(end.value.code, int)
    return end.value.code or 0


def test_the_command_prints_the_key_once_and_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list") == 0
    assert capsys.readouterr().out.strip() == KEYLESS
    arguments = ("add", "shop front", "--workspace", "acme", "--scope", "recommend", "--scope", "outcomes")
    assert run(monkeypatch, *arguments, "--rate", "50", "--expires", "2100-01-01") == 0
    made = capsys.readouterr()
    key_id, secret = parsed(made.out.strip())
    assert secret.decode() not in made.err
    assert "every client needs a key" in made.err
    assert "nothing has been ingested for 'acme'" in made.err
    assert run(monkeypatch, "list") == 0
    listed = capsys.readouterr().out
    for shown in (
        key_id,
        "shop front",
        "acme",
        "recommend",
        "outcomes",
        "50",
        "2100-01-01",
        secret[-4:].decode(),
    ):
        assert shown in listed
    assert secret[-5:].decode() not in listed
    assert run(monkeypatch, "revoke", key_id) == 0
    assert "the last one" in capsys.readouterr().out
    assert keys.read(keys_path()) == ()


def test_a_workspace_that_holds_data_is_not_questioned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Vault(tmp_path / "vault.sqlite") as vault:
        vault.workspace("acme", create=True)
    for workspace, questioned in (("acme", False), ("acmee", True)):
        assert run(monkeypatch, "add", "shop", "--workspace", workspace, "--scope", "admin") == 0
        assert ("nothing has been ingested" in capsys.readouterr().err) is questioned


def test_a_wrong_argument_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "add", "shop", "--workspace", "acme", "--scope", "root") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: there is no scope 'root'")


def test_serve_on_every_interface_without_keys_says_so_first(tmp_path: Path) -> None:
    command = [sys.executable, "recommend.py", "serve", "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment(tmp_path / "home"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
    assert first.strip() == KEYLESS
