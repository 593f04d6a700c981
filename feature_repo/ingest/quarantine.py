"""The quarantine table: which rows could not be read and why. It never holds a value of such a row."""

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.events import ID, EventTable

SCHEMA = pa.schema(
    [
        pa.field("workspace_id", ID, nullable=False),
        pa.field("table", pa.string(), nullable=False),
        pa.field("file", pa.int32(), nullable=False),
        pa.field("day", pa.date32()),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""``file``, ``day`` and ``line`` as in ``rows.Where``: file and folder names are content, their order is not."""


class Quarantine:
    """Writes one quarantine table, batch by batch. No file comes to be before there is a row."""

    def __init__(self, path: Path, workspace_id: int) -> None:
        self._path = path
        self._workspace_id = workspace_id
        self._writer: pq.ParquetWriter | None = None
        self.by_table: Counter[str] = Counter()
        self.by_reason: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, table: EventTable, rows: pa.RecordBatch, reasons: pa.Array) -> None:
        """List the rows (in ``raw_schema(table)``) that have a reason."""
        bad = pc.is_valid(reasons)
        rows, reasons = rows.filter(bad), reasons.filter(bad)
        if not len(rows):
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, SCHEMA)
        names = pa.array([table.name] * len(rows))
        workspaces = pa.array([self._workspace_id] * len(rows), ID)
        columns = [workspaces, names, rows["_file"], rows["_day"], rows["_line"], reasons]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        self.by_table[table.name] += len(rows)
        self.by_reason.update({c["values"]: c["counts"] for c in pc.value_counts(reasons).to_pylist()})
