"""The same rows in one run or in pieces, in whatever order of days."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.catalog import offline_tables
from feature_repo.home import tables_path
from tests.feature_repo.tables.conftest import assert_same, build_all, read
from tests.feature_repo.tables.workspace import DAYS, START, random_workspace

day_sets = st.lists(st.integers(5, DAYS + 95), min_size=2, max_size=4, unique=True).map(
    lambda offsets: [(START + timedelta(days=n)).date() for n in offsets]
)


@pytest.mark.slow
@settings(max_examples=3, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=day_sets, cut=st.integers(1, 3))
def test_any_days_in_any_order_and_any_pieces(home: Path, days: list[date], cut: int) -> None:
    for folder in (path for path in home.iterdir() if path.is_dir()):
        shutil.rmtree(folder)
    random_workspace(1).write()
    build_all(sorted(days))
    whole = {(table, day): read(table, day) for table in offline_tables() for day in days}
    shutil.rmtree(tables_path())
    for piece in filter(None, (days[:cut], days[cut:])):
        build_all(piece)
    for (table, day), rows in whole.items():
        assert_same(rows, read(table, day))
