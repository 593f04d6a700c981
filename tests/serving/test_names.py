"""Names asks a real vault once, forgets what another process has changed, and its memory never asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.identity import UNKNOWN, Vault
from serving.names import Names

RAW = ["U1", "U2", "U3"]


class Counted(Vault):
    """A vault that counts the ids that it was asked for."""

    asked = 0

    def lookup(self, workspace_id, kind, raw):  # type: ignore[no-untyped-def]
        self.asked += len(raw)
        return super().lookup(workspace_id, kind, raw)

    def reveal(self, workspace_id, kind, ids):  # type: ignore[no-untyped-def]
        self.asked += len(ids)
        return super().reveal(workspace_id, kind, ids)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Vault(tmp_path / "vault.sqlite") as vault:
        vault.intern(vault.workspace("acme", create=True), "user", RAW)
    return tmp_path / "vault.sqlite"


@pytest.fixture
def vault(path: Path) -> Iterator[Counted]:
    opened = Counted(path)
    yield opened
    opened.close()


def forget(path: Path, raw: str) -> None:
    with Vault(path) as other:
        assert other.forget(1, "user", raw)


def test_what_was_asked_once_is_not_asked_again_in_either_direction(vault: Counted) -> None:
    names = Names(vault)
    names.refresh()
    ids = names.lookup(1, "user", RAW)
    assert ids.tolist() == Vault.lookup(vault, 1, "user", RAW).tolist()
    asked = vault.asked
    assert names.lookup(1, "user", RAW).tolist() == ids.tolist()
    assert names.reveal(1, "user", ids.tolist()) == RAW
    names.refresh()
    assert names.lookup(1, "user", RAW).tolist() == ids.tolist()
    assert vault.asked == asked


def test_strangers_are_asked_for_each_time_and_another_kind_is_another_id(vault: Counted) -> None:
    names = Names(vault)
    for _ in range(2):
        assert names.lookup(1, "user", ["U9", "U1"])[0] == UNKNOWN
    (id_,) = names.lookup(1, "user", ["U1"]).tolist()
    assert names.lookup(1, "channel", ["U1"]).tolist() == [UNKNOWN]
    assert names.reveal(1, "channel", [id_]) == [None]
    assert names.lookup(2, "user", ["U1"]).tolist() == [UNKNOWN]


def test_an_erased_id_is_forgotten_and_what_is_kept_is_learned_anew(vault: Counted, path: Path) -> None:
    names = Names(vault)
    names.refresh()
    ids = names.lookup(1, "user", RAW).tolist()
    names.keep(("channel_browser", 1), "user", ids)
    assert names.memory.reveal(1, "user", ids) == RAW
    forget(path, "U2")
    names.refresh()
    assert names.memory.reveal(1, "user", ids) == ["U1", None, "U3"]
    assert names.lookup(1, "user", RAW).tolist() == [ids[0], UNKNOWN, ids[2]]


def test_memory_knows_what_was_learned_and_asks_nobody(vault: Counted) -> None:
    names = Names(vault)
    names.refresh()
    (first,) = names.lookup(1, "user", ["U1"]).tolist()
    asked = vault.asked
    memory = names.memory
    assert memory.lookup(1, "user", ["U1", "U2"]).tolist() == [first, UNKNOWN]
    assert memory.workspaces() == {"acme": 1}
    assert memory.token_key(1) == vault.token_key(1)
    assert vault.asked == asked


def test_token_keys_differ_by_workspace_and_are_not_the_secret(path: Path) -> None:
    with Vault(path) as vault:
        other = vault.workspace("other", create=True)
        assert len({vault.token_key(1), vault.token_key(other)}) == 2
        assert vault.token_key(1) not in path.read_bytes()


def test_ids_are_listed_by_what_they_begin_with(path: Path) -> None:
    with Vault(path) as vault:
        vault.intern(1, "user", ["U10", "u1", "V1", "U1%"])
        assert vault.beginning_with(1, "user", "U1", 10) == ["U1", "U1%", "U10"]
        assert vault.beginning_with(1, "user", "", 2) == ["U1", "U1%"]
        assert vault.beginning_with(1, "channel", "U", 10) == vault.beginning_with(2, "user", "U", 10) == []
