"""The edge of the vault: which workspace, which kind of id, and which ids have a name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feast import Entity, ValueType

from feature_repo.catalog import recommenders
from feature_repo.errors import RecommendError
from feature_repo.identity import Vault
from serving.identity import first_named, interned_set, workspace_id
from serving.problems import Problem


def test_the_only_workspace_need_not_be_named(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault.sqlite") as vault:
        acme = vault.workspace("acme", create=True)
        assert workspace_id(vault, None) == workspace_id(vault, "acme") == acme


def test_among_several_one_must_be_named_and_the_others_are_not_told(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault.sqlite") as vault:
        for name in ("acme", "globex"):
            vault.workspace(name, create=True)
        assert workspace_id(vault, "globex") == 2
        for wrong in (None, "initech"):
            with pytest.raises(Problem) as raised:
                workspace_id(vault, wrong)
            details = raised.value.details
            assert (details.status, details.errors[0].pointer) == (400, "#/workspace")
            assert "acme" not in details.model_dump_json()


def test_before_ingest_there_is_none(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault.sqlite") as vault, pytest.raises(Problem) as raised:
        workspace_id(vault, None)
    assert "recommend ingest" in raised.value.details.detail


def test_a_forgotten_candidate_is_passed_over_and_the_next_one_shown(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault.sqlite") as vault:
        acme, globex = (vault.workspace(n, create=True) for n in ("acme", "globex"))
        ids = vault.intern(acme, "user", ["a", "b", "c", "d"])
        elsewhere = vault.intern(globex, "user", ["z"])
        vault.forget(acme, "user", "b")
        asked = np.concatenate([ids[:2], elsewhere, ids[2:]])
        assert first_named(vault, acme, "user", asked, 2) == [(0, "a"), (3, "c")]
        assert first_named(vault, acme, "user", asked, 10) == [(0, "a"), (3, "c"), (4, "d")]
        assert interned_set(vault, acme, "user", ["a", "b", "z"]) == {int(ids[0])}


def test_the_kinds_of_ids_come_from_the_declaration() -> None:
    kinds = {r.name: (r.query_kind, r.candidate_kind) for r in recommenders().values()}
    assert kinds["channel_browser"] == ("user", "channel")
    assert kinds["composer_dm"] == ("user", "user")


def test_an_entity_without_a_kind_is_refused() -> None:
    declared = recommenders()["channel_browser"]
    untagged = Entity(name="team", join_keys=["user_id"], value_type=ValueType.INT64)
    with pytest.raises(RecommendError, match="entity team does not say whose ids it holds"):
        _ = replace(declared, query=untagged).query_kind
