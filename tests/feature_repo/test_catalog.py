"""A domain is found by its package's name, and in it every file by being there."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo import catalog
from feature_repo.errors import RecommendError
from feature_repo.events import PLATFORM_TABLES
from feature_repo.home import PROJECT

SHIPPED = PROJECT / "feature_repo" / "chat"
COPY = "copied_workplace"
NEW = '''"""Quiet channels: the one that ships, under another name."""

from dataclasses import replace

from copied_workplace.recommenders.channel_browser import channel_browser

quiet_channels = replace(channel_browser, name="quiet_channels", heuristic={})
'''


def forget() -> None:
    """The catalogue is read once per process, since a process serves one domain."""
    for cached in (catalog.recommenders, catalog.offline_tables, catalog.event_tables):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shipped domain as a package of its own outside the project, which is the domain in use."""
    folder = tmp_path / COPY
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.rglob("*.py"):
        file.write_text(file.read_text().replace("feature_repo.chat", COPY))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RECOMMEND_DOMAIN", COPY)
    forget()
    yield folder
    forget()
    for name in [m for m in sys.modules if m.split(".")[0] == COPY]:
        del sys.modules[name]


def test_the_domain_that_ships_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECOMMEND_DOMAIN", raising=False)
    forget()
    assert catalog.domain() == "feature_repo.chat"
    assert catalog.feast_repo() == PROJECT / "feature_repo"
    assert {"channel_browser", "composer_dm"} <= set(catalog.recommenders())


def test_a_copied_domain_declares_what_the_original_does(package: Path) -> None:
    copied = set(catalog.recommenders()), set(catalog.offline_tables()), set(catalog.feast_objects())
    names = [t.name for t in catalog.event_tables()]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RECOMMEND_DOMAIN")
        forget()
        shipped = set(catalog.recommenders()), set(catalog.offline_tables()), set(catalog.feast_objects())
        assert copied == shipped
        assert [t.name for t in catalog.event_tables()] == names
        assert catalog.all_event_tables()[len(names) :] == PLATFORM_TABLES


def test_a_new_recommender_file_is_found_and_nothing_else_is_edited(package: Path) -> None:
    (package / "recommenders" / "quiet_channels.py").write_text(NEW)
    declared = catalog.recommender("quiet_channels")
    assert set(catalog.recommenders()) == {"channel_browser", "composer_dm", "quiet_channels"}
    assert declared.definition_hash == catalog.recommender("channel_browser").definition_hash
    service = catalog.feast_objects()["FeatureService_quiet_channels"]
    assert service.name == "quiet_channels"


def test_every_view_that_a_recommender_needs_is_among_the_objects_of_feast(package: Path) -> None:
    objects = catalog.feast_objects()
    for declared in catalog.recommenders().values():
        needed = (declared.candidates, declared.popular, *declared.features)
        assert {f"FeatureView_{v.name}" for v in needed} <= set(objects)
        assert {f"Entity_{e.name}" for e in (declared.query, declared.candidate)} <= set(objects)


def test_every_view_has_the_offline_table_of_its_name(package: Path) -> None:
    views = {name.removeprefix("FeatureView_") for name in catalog.feast_objects() if "FeatureView_" in name}
    assert views <= set(catalog.offline_tables())


def test_an_unknown_recommender_is_named_with_the_known_ones(package: Path) -> None:
    with pytest.raises(RecommendError) as error:
        catalog.recommender("nosuch")
    assert str(error.value) == ("no recommender named 'nosuch': choose one of channel_browser, composer_dm")


def test_the_feast_repo_is_the_nearest_folder_with_its_settings(package: Path) -> None:
    with pytest.raises(RecommendError, match=r"no feature_store.yaml in .*copied_workplace or above it"):
        catalog.feast_repo()
    (package.parent / "feature_store.yaml").write_text("project: further\n")
    assert catalog.feast_repo() == package.parent
    (package / "feature_store.yaml").write_text("project: near\n")
    assert catalog.feast_repo() == package
