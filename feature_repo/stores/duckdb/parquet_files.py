"""Writes Parquet so that a reader finds a table as it was before or as it is after, never in between."""

import shutil
import uuid
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feature_repo.stores.source_rows import fitted


def write_file(rows: pa.RecordBatchReader, path: Path) -> None:
    """One file, which takes the place of another when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with pq.ParquetWriter(partial, rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def append(rows: pa.Table, path: Path) -> None:
    """Add rows to a file, which is written anew, or to a folder, which gets further files in their partitions.

    Where new integers or floats are wider than a file's, so is its column from then on. The files of a folder keep
    the types that they have, or Spark could not read them together.

    Two that append to one file at once may lose the rows of one; to a folder they may not.

    Args:
        rows: The table's columns, in any order; a folder's partitions are columns too.
        path: A file, or a folder of any depth with partitions ``name=value``.

    Raises:
        ValueError: a column is missing, is not the table's, or holds what the table's type cannot.
    """
    table = ds.dataset(path, partitioning="hive")
    if path.is_dir():
        _add_files(fitted(rows, table.schema, str(path)), path, _partitions(table))
        return
    alike = fitted(rows, table.schema, str(path), widened=True)
    before = (batch.cast(alike.schema) for batch in pq.ParquetFile(path).iter_batches())
    write_file(pa.RecordBatchReader.from_batches(alike.schema, chain(before, alike.to_batches())), path)


def _add_files(rows: pa.Table, folder: Path, partitions: list[str]) -> None:
    name = uuid.uuid4().hex
    staged = folder / f"_{name}"  # what begins with _ is not data, to us as to Spark and Arrow
    ds.write_dataset(
        rows,
        staged,
        format="parquet",
        partitioning=partitions,
        partitioning_flavor="hive",
        basename_template=f"part-{name}-{{i}}.parquet",
    )
    for file in sorted(staged.rglob("*.parquet")):
        target = folder / file.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    shutil.rmtree(staged)


def _partitions(table: ds.FileSystemDataset) -> list[str]:
    """The columns that are in the paths of the files, not in them."""
    file = next(table.get_fragments()).physical_schema.names
    return [name for name in table.schema.names if name not in file]
