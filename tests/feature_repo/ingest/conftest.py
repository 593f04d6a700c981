"""A state folder of its own for every test, and the means to look into it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from feature_repo.chat.events import EVENT_TABLES
from feature_repo.events import scan_sql
from feature_repo.home import events_path, vault_path
from feature_repo.identity import Vault

Rows = list[dict[str, Any]]
Stored = Callable[[str], Rows]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty RECOMMEND_HOME."""
    path = tmp_path / "home"
    monkeypatch.setenv("RECOMMEND_HOME", str(path))
    return path


@pytest.fixture
def stored() -> Stored:
    """Rows of a published table, in the order of time, with interned ids turned back into the caller's own."""

    def rows(name: str) -> Rows:
        table = next(t for t in EVENT_TABLES if t.name == name)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            relation = connection.sql(
                f"SELECT * FROM ({scan_sql(table, events_path())}) ORDER BY event_timestamp"
            )
            found: Rows = relation.to_arrow_table().to_pylist()
        with Vault(vault_path()) as vault:
            for column in table.columns:
                if column.identity is not None:
                    for row in found:
                        if row[column.name] is not None:
                            ids = [row[column.name]]
                            (row[column.name],) = vault.reveal(row["workspace_id"], column.identity, ids)
        return found

    return rows


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write a JSON file below ``export/``; answers the export's folder."""

    def write(name: str, content: Any) -> Path:
        path = tmp_path / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return tmp_path / "export"

    return write
