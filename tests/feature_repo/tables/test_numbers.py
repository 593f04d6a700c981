"""Every number of every table, against a recount event by event; what a row may know; and two workspaces apart."""

import operator
from datetime import date
from pathlib import Path

import pytest

from feature_repo.catalog import offline_tables
from feature_repo.clock import midnight
from feature_repo.identity import workspace_of
from tests.feature_repo.tables.conftest import Built, assert_same, build_all, read
from tests.feature_repo.tables.oracle import Expected, Oracle
from tests.feature_repo.tables.workspace import EARLY, LATE

pytestmark = pytest.mark.slow

COUNTED = ("user_activity", "channel_activity", "user_user_affinity", "user_channel_affinity")


@pytest.mark.parametrize("day", [EARLY, LATE], ids=str)
@pytest.mark.parametrize("table", COUNTED)
def test_every_number_is_what_a_recount_gives(community: Built, table: str, day: date) -> None:
    expected: Expected = {}
    for workspace in community.workspaces:
        recount: Expected = operator.methodcaller(table)(Oracle(workspace, day))
        expected |= {(workspace.workspace_id, *key): row for key, row in recount.items()}
    found = read(table, day)
    assert found.keys() == expected.keys()
    wrong = {
        (key, name): (row[name], value)
        for key, row in found.items()
        for name, value in expected[key].items()
        if row[name] != (value if value is None else pytest.approx(value, rel=1e-6, abs=1e-6))
    }
    assert not wrong
    assert {frozenset(row) for row in found.values()} == {frozenset(row) for row in expected.values()}


def test_every_column_takes_different_values(community: Built) -> None:
    """So that the recount has something to compare."""
    for table in COUNTED:
        rows = list(read(table, LATE).values())
        constant = {name for name in rows[0] if len({row[name] for row in rows}) < 2}
        assert not constant, table


def test_a_row_knows_nothing_of_its_day_or_later_nor_what_else_is_built(community: Built, home: Path) -> None:
    """A build of the later day alone, without the events that follow, gives the rows of the whole build."""
    for workspace in community.workspaces:
        workspace.until(midnight(LATE)).write()
    build_all([LATE])
    without = {table: read(table, LATE) for table in offline_tables()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(community.home))
        for table, rows in without.items():
            assert_same(rows, read(table, LATE))


def test_no_row_mixes_two_workspaces(community: Built) -> None:
    for table in offline_tables():
        workspaces = set()
        for key, row in read(table, LATE).items():
            ids = [*key[1:], *(i for value in row.values() if isinstance(value, list) for i in value)]
            assert {workspace_of(i) for i in ids} <= {key[0]}
            workspaces.add(key[0])
        assert workspaces == {1, 2}, table


@pytest.mark.parametrize("day", [EARLY, LATE], ids=str)
def test_nobody_known_as_a_bot_is_a_user_a_peer_or_a_candidate(community: Built, day: date) -> None:
    known = {
        r["user_id"]
        for workspace in community.workspaces
        for r in workspace.rows["users"]
        if r["is_bot"] and r["at"] < midnight(day)
    }
    wrote = {
        r["user_id"] for w in community.workspaces for r in w.rows["messages"] if r["at"] < midnight(day)
    }
    assert len(known & wrote) == 4
    for table in offline_tables():
        for key, row in read(table, day).items():
            listed = {i for value in row.values() if isinstance(value, list) for i in value}
            assert not known & {*key, *listed}, table
