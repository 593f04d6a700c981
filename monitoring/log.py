"""The served log as DuckDB relations: what was shown and what came of it, up to an instant.

A file that cannot be read (cut in the middle, or of another shape) is named and left out, so that one
bad file does not blind the whole page.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import PLATFORM_TABLES, EventTable

POPULARITY = "popularity"
"""The rung of an answer that no ranker ordered: it has no features and no score to speak of."""


@dataclass(frozen=True)
class ServedLog:
    """The log in a private in-memory DuckDB.

    Args:
        connection: Holds the views ``impressions`` and ``outcomes``: the required columns of the tables of
            the same names in `feature_repo.events`, duplicates included (see `distinct`).
        warnings: One line for each file that was left out.
    """

    connection: duckdb.DuckDBPyConnection
    warnings: tuple[str, ...]


def open_log(root: Path, as_of: datetime, since: datetime | None = None) -> ServedLog:
    """Open the day-partitioned log under ``root``.

    Args:
        root: Folder that holds ``impressions/`` and ``outcomes/``; neither needs to exist.
        as_of: Rows after this instant are not seen.
        since: Nor are rows before this one; None is the whole log.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    warnings: list[str] = []
    for table in PLATFORM_TABLES:
        files = []
        for path in _files(root, table, as_of, since):
            if defect := _defect(path, table):
                warnings.append(f"{path.relative_to(root)} is left out: {defect}")
            else:
                files.append(path)
        connection.execute(
            f"CREATE VIEW {table.name} AS {_select(connection, table, files)} "
            f"WHERE event_timestamp <= '{as_of.isoformat()}'::TIMESTAMPTZ"
            + (f" AND event_timestamp >= '{since.isoformat()}'::TIMESTAMPTZ" if since else "")
        )
    return ServedLog(connection, tuple(warnings))


def distinct(table: EventTable, source: str, tie_break: str) -> str:
    """SQL over the relation ``source`` that keeps the first of the rows with the same key.

    Args:
        table: Names the key; the workspace is always part of it.
        source: A relation with at least the key's columns and ``event_timestamp``.
        tie_break: Columns that order rows of the same instant, so that the same log gives the same answer.
    """
    return (
        f"SELECT * FROM {source} QUALIFY row_number() OVER "
        f"(PARTITION BY workspace_id, {', '.join(table.key)} ORDER BY event_timestamp, {tie_break}) = 1"
    )


def _files(root: Path, table: EventTable, as_of: datetime, since: datetime | None) -> list[Path]:
    """Files of the days in question: the folders are named by the UTC day of their rows."""
    first = f"day={since.date()}" if since else ""
    last = f"day={as_of.date()}"
    return [p for p in sorted((root / table.name).glob("day=*/*.parquet")) if first <= p.parent.name <= last]


def _defect(path: Path, table: EventTable) -> str | None:
    # A Parquet file ends with its footer: one that was cut has none, and this reads nothing else.
    try:
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        return "it is no whole Parquet file (cut while it was written?); delete it, or restore it from a copy"
    if missing := [c for c in _required(table) if c not in found.names]:
        return f"it has no column {', '.join(missing)}; it was not written as the table {table.name}"
    return None


def _required(table: EventTable) -> list[str]:
    return [field.name for field in table.schema if not field.nullable]


def _select(connection: duckdb.DuckDBPyConnection, table: EventTable, files: list[Path]) -> str:
    empty = f"no_{table.name}"
    connection.register(empty, table.schema.empty_table().select(_required(table)))
    typed = connection.table(empty)
    columns = ", ".join(f"{c}::{t} AS {c}" for c, t in zip(typed.columns, typed.types, strict=True))
    if not files:
        return f"SELECT {columns} FROM {empty}"
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return f"SELECT {columns} FROM read_parquet([{names}], hive_partitioning = false, union_by_name = true)"
