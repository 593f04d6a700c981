"""The vault: ids come back to their owner and to nobody else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.errors import RecommendError
from feature_repo.identity import UNKNOWN, Vault, workspace_of

RAW = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40)
MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault.sqlite")


@MANY
@given(raw=st.lists(RAW, max_size=30), again=st.lists(RAW, max_size=10))
def test_an_interned_id_is_stable_and_can_be_revealed(vault: Vault, raw: list[str], again: list[str]) -> None:
    workspace = vault.workspace("w", create=True)
    first = vault.intern(workspace, "user", raw)
    vault.intern(workspace, "user", again)
    assert vault.intern(workspace, "user", raw).tolist() == first.tolist()
    assert vault.reveal(workspace, "user", first.tolist()) == raw
    assert len(set(first.tolist())) == len(set(raw))


@MANY
@given(ones=st.lists(RAW, max_size=20), others=st.lists(RAW, max_size=20))
def test_no_two_workspaces_share_an_id(vault: Vault, ones: list[str], others: list[str]) -> None:
    one, other = vault.workspace("one", create=True), vault.workspace("other", create=True)
    first, second = vault.intern(one, "user", ones), vault.intern(other, "user", others)
    assert not set(first.tolist()) & set(second.tolist())
    assert {workspace_of(i) for i in first.tolist()} <= {one}
    assert vault.reveal(other, "user", first.tolist()) == [None] * len(ones)


@MANY
@given(raw=st.lists(RAW, min_size=1, max_size=20, unique=True))
def test_lookup_never_allocates(tmp_path: Path, raw: list[str]) -> None:
    with Vault(tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite") as vault:
        workspace = vault.workspace("w", create=True)
        assert vault.lookup(workspace, "user", raw).tolist() == [UNKNOWN] * len(raw)
        (first,) = vault.intern(
            workspace, "user", ["the first"] if "the first" not in raw else raw[:1]
        ).tolist()
        assert first & ((1 << 40) - 1) == 1


def test_kinds_are_apart(vault: Vault) -> None:
    workspace = vault.workspace("w", create=True)
    user, channel = vault.intern(workspace, "user", ["7"]), vault.intern(workspace, "channel", ["7"])
    assert user[0] != channel[0]
    assert vault.reveal(workspace, "channel", user.tolist()) == [None]


def test_pseudonyms_depend_on_the_workspace_and_the_kind(vault: Vault) -> None:
    one, other = vault.workspace("one", create=True), vault.workspace("other", create=True)
    ids = vault.pseudonyms(one, "message", ["a", "b", "a"])
    assert ids.dtype == np.int64
    assert (ids > 0).all()
    assert ids[0] == ids[2] != ids[1]
    assert ids[0] != vault.pseudonyms(other, "message", ["a"])[0]
    assert ids[0] != vault.pseudonyms(one, "thread", ["a"])[0]


def test_a_forgotten_number_is_never_given_out_again(vault: Vault) -> None:
    workspace = vault.workspace("w", create=True)
    (gone,) = vault.intern(workspace, "user", ["ann"]).tolist()
    assert vault.forget(workspace, "user", "ann")
    assert not vault.forget(workspace, "user", "ann")
    assert vault.reveal(workspace, "user", [gone]) == [None]
    assert vault.intern(workspace, "user", ["ann"])[0] != gone


def test_an_error_rolls_back(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"

    def fail() -> None:
        with Vault(path) as vault:
            vault.intern(vault.workspace("w", create=True), "user", ["ann"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with Vault(path) as vault:
        assert vault.workspaces() == {}


def test_rollback_forgets_what_was_not_committed(vault: Vault) -> None:
    workspace = vault.workspace("w", create=True)
    vault.commit()
    vault.intern(workspace, "user", ["ann"])
    vault.rollback()
    assert vault.lookup(workspace, "user", ["ann"]).tolist() == [UNKNOWN]


def test_an_unknown_workspace_is_an_error_that_names_the_known(vault: Vault) -> None:
    vault.workspace("acme", create=True)
    with pytest.raises(RecommendError, match=r"'acne'.*acme"):
        vault.workspace("acne")


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault.sqlite"):
        assert (tmp_path / "vault.sqlite").stat().st_mode & 0o077 == 0
