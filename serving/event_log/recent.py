"""The latest rows of a log table, from its Parquet files: what a restarted process should remember."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

logger = logging.getLogger("bentoml.recommend")


def recent_rows(folder: Path, schema: pa.Schema, columns: Sequence[str], most: int) -> pa.Table:
    """The rows that were logged last, oldest first.

    Args:
        folder: The table's folder.
        schema: The table's.
        columns: Which of its columns.
        most: At most so many rows; as many files are read as it takes, the latest written first.

    Returns:
        At most ``most`` rows.
    """
    wanted = pa.schema([schema.field(name) for name in columns])
    found: list[pa.Table] = []
    missing = most
    for path in sorted(folder.glob("day=*/*.parquet"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
        if missing <= 0:
            break
        try:
            with pq.ParquetFile(path) as file:
                rows = file.read(columns=list(columns)).select(columns).cast(wanted)
        except (pa.ArrowInvalid, KeyError, OSError, ValueError) as error:
            logger.warning(
                "%s cannot be read, so that its %s are not remembered: %s", path, ", ".join(columns), error
            )
            continue
        found.append(rows.slice(max(rows.num_rows - missing, 0)))
        missing -= rows.num_rows
    return pa.concat_tables(found[::-1]) if found else wanted.empty_table()
