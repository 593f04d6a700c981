"""Where good rows wait until the whole export is read: a DuckDB file of ints, in a folder of its own.

DuckDB keeps to ``_MEMORY`` and spills to that folder, so that memory does not grow with the export.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import ID, EventTable, scan_sql

_MEMORY = "256MB"
_ROWS_PER_BATCH = 100_000
_MICROSECONDS_PER_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1)


class Staging:
    """Good rows of one export, encoded, in the order in which they were read."""

    def __init__(self, folder: Path, published: Path) -> None:
        """Open an empty one.

        Args:
            folder: Its own, and empty.
            published: Where the event tables lie.
        """
        self._published = published
        self._connection = duckdb.connect(
            folder / "staging.duckdb",
            config={"memory_limit": _MEMORY, "temp_directory": str(folder / "spill"), "threads": 2},
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute(
            "SET enable_progress_bar = false"
        )  # it would write to stdout, terminal or not
        self._tables: dict[str, EventTable] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, table: EventTable, rows: pa.Table) -> None:
        """Append rows in ``table.schema``."""
        self._connection.register("arriving", rows)
        if table.name not in self._tables:
            self._connection.execute(f"CREATE TABLE {table.name} AS SELECT * FROM arriving WITH NO DATA")
            self._tables[table.name] = table
        self._connection.execute(f"INSERT INTO {table.name} SELECT * FROM arriving")
        self._connection.unregister("arriving")

    def listed(self, table: EventTable, column: str, workspace_id: int) -> set[int]:
        """The ids that a published table has in one column, of one workspace."""
        query = f"SELECT DISTINCT {column} FROM ({scan_sql(table, self._published)}) WHERE workspace_id = ?"
        return {i for (i,) in self._connection.execute(query, [workspace_id]).fetchall()}

    def keep_new(self, table: EventTable, workspace_id: int) -> int:
        """Drop what is published already and what came before in this export; how many rows are left."""
        if table.name not in self._tables:
            return 0
        key = ", ".join(("workspace_id", *table.key))
        self._connection.execute(
            f"""
            CREATE TABLE new_{table.name} AS
            SELECT *, rowid AS arrival FROM {table.name} ANTI JOIN (
                SELECT {key} FROM ({scan_sql(table, self._published)}) WHERE workspace_id = {int(workspace_id)}
            ) AS published USING ({key})
            QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY rowid) = 1
            """
        )
        [(rows,)] = self._connection.execute(f"SELECT count(*) FROM new_{table.name}").fetchall()
        return int(rows)

    def write_new(self, table: EventTable, folder: Path) -> dict[date, Path]:
        """Write the rows that ``keep_new`` left as Parquet, in ``table.schema``: one file a day (UTC)."""
        columns = ", ".join(table.schema.names)
        in_order = self._connection.sql(
            f"SELECT {columns} FROM new_{table.name} ORDER BY event_timestamp, arrival"
        ).to_arrow_reader(_ROWS_PER_BATCH)
        return write_days(in_order, table.schema, folder)


def write_days(batches: pa.RecordBatchReader, schema: pa.Schema, folder: Path) -> dict[date, Path]:
    """Write batches that are sorted by ``event_timestamp``: one Parquet file a day (UTC), side by side.

    A folder a day only to move the file out of it would cost more than the writing.
    """
    folder.mkdir(parents=True)
    written: dict[date, Path] = {}
    for day, pieces in groupby(_split_by_day(batches, schema), key=itemgetter(0)):
        path = written[day] = folder / f"{day}.parquet"
        with path.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
            for _, rows in pieces:
                writer.write_batch(rows)
    return written


def _split_by_day(batches: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[tuple[date, pa.RecordBatch]]:
    for unmarked in batches:
        batch = pa.RecordBatch.from_arrays(
            unmarked.columns, schema=schema
        )  # DuckDB tells nothing of nullability
        days = batch["event_timestamp"].cast(ID).to_numpy() // _MICROSECONDS_PER_DAY
        starts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist()] if len(days) else []
        for start, end in zip(starts, [*starts[1:], len(days)], strict=False):
            yield _EPOCH + timedelta(days=int(days[start])), batch.slice(start, end - start)
