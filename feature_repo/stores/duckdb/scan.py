"""How DuckDB reads what Feast calls a data source: the relation to scan, and the Arrow types of its columns."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import duckdb
import pyarrow as pa
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import _read_data_source
from feast.infra.offline_stores.file_source import FileSource

from feature_repo.stores.duckdb.asof_sql import Instant, TimestampType, quoted, text


@dataclass(frozen=True)
class Session:
    """The settings of a DuckDB that lives as long as one query.

    Args:
        memory_limit: Such as ``4GB``; DuckDB's own default, four fifths of the memory, where it is not given.
        temp_directory: Where it spills what does not fit; a temporary folder where it is not given.
        threads: As many as there are cores where it is not given.
    """

    memory_limit: str | None = None
    temp_directory: str | None = None
    threads: int | None = None

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database in memory whose time zone is UTC."""
        if self.temp_directory is not None:
            Path(self.temp_directory).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="asof-", dir=self.temp_directory) as spill:
            settings: dict[str, str | int | None] = {
                "memory_limit": self.memory_limit,
                "threads": self.threads,
                "temp_directory": spill,
                "preserve_insertion_order": "false",
            }
            config = {name: str(value) for name, value in settings.items() if value is not None}
            with duckdb.connect(":memory:", config=config) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(
                    "SET enable_progress_bar = false"
                )  # it would mix with what the caller prints
                yield connection


@dataclass(frozen=True)
class Scan:
    """A relation and what it holds.

    Args:
        relation: What stands after FROM.
        schema: The Arrow types of those columns that were asked for and exist, in that order.
        name: For messages: the path, or the source's name.
    """

    relation: str
    schema: pa.Schema
    name: str

    def instant(self, column: str) -> Instant:
        """The column as instants.

        Raises:
            TypeError: it holds something else.
        """
        held = self.schema.field(column).type
        kind = _timestamp_type(held)
        if kind is None:
            raise TypeError(
                f"{self.name}: column {column!r} is {held}, not a timestamp; "
                "write it as a Parquet timestamp, or name another timestamp_field"
            )
        return Instant(column, kind)


def scan(
    connection: duckdb.DuckDBPyConnection,
    source: DataSource,
    columns: Sequence[str],
    repo_path: Path | None,
    optional: Sequence[str] = (),
) -> Scan:
    """Prepare to read ``columns`` of ``source``, and the ``optional`` ones where they exist.

    Local Parquet, a file or a folder of files at any depth, is scanned in place; columns that only some of
    its files have are null in the others. Any other source is read by Feast's own DuckDB store, whole.

    Raises:
        FileNotFoundError: there is no Parquet file in the folder.
        OSError: a file is missing, or is none of Parquet.
        ValueError: a column is missing.
    """
    path = local_parquet(source, repo_path)
    wanted = tuple(dict.fromkeys((*columns, *optional)))
    relation = (
        _read(connection, source, wanted, repo_path) if path is None else _scan(connection, path, wanted)
    )
    name = source.name if path is None else str(path)
    held = connection.sql(f"SELECT * FROM {relation} LIMIT 0").to_arrow_table().schema
    if missing := [c for c in columns if c not in held.names]:
        raise ValueError(
            f"{name}: no column {', '.join(map(repr, missing))} (it has {', '.join(held.names)}); "
            "correct the feature view's schema or the source's field_mapping"
        )
    return Scan(relation, pa.schema([held.field(c) for c in wanted if c in held.names]), name)


def local_parquet(source: DataSource | None, repo_path: Path | None) -> Path | None:
    """The file or folder of a Parquet source on this machine; of any other source, ``None``."""
    if not isinstance(source, FileSource) or urlparse(source.path).netloc:
        return None
    path = Path(FileSource.get_uri_for_file_path(repo_path, source.path.removeprefix("file:")))
    is_parquet = isinstance(source.file_format, ParquetFormat) or (
        source.file_format is None and path.suffix == ".parquet"
    )
    return path if is_parquet else None


def _scan(connection: duckdb.DuckDBPyConnection, path: Path, columns: Sequence[str]) -> str:
    # Listed once: a file that appears between two queries is in neither.
    found = [str(f) for f in _parquet_files(path)] if path.is_dir() else [str(path)]
    files = f"[{', '.join(map(text, found))}]"
    try:
        uneven = bool(found) and connection.sql(_uneven_sql(files, columns)).fetchall()
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise OSError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    if not found:
        raise FileNotFoundError(
            f"no Parquet file under {path}: build the table, or correct its source's path"
        )
    # Reading by name takes every footer at every query; where all files agree the first one's will do.
    return f"read_parquet({files}, union_by_name = true)" if uneven else f"read_parquet({files})"


def _parquet_files(folder: Path) -> list[Path]:
    # As Spark and Arrow do: what begins with _ or . is not data, and may be half written.
    return sorted(
        f
        for f in folder.rglob("*.parquet")
        if not any(part.startswith(("_", ".")) for part in f.relative_to(folder).parts)
    )


def _uneven_sql(files: str, columns: Sequence[str]) -> str:
    wanted = ", ".join(text(c) for c in columns)
    return (
        f"WITH held AS (SELECT file_name, name, hash(type, logical_type, converted_type) AS type "
        f"FROM parquet_schema({files}))\n"
        f"SELECT name FROM held WHERE name IN ({wanted}) GROUP BY name "
        f"HAVING count(DISTINCT type) > 1 OR count(DISTINCT file_name) < (SELECT count(DISTINCT file_name) FROM held)"
    )


def _read(
    connection: duckdb.DuckDBPyConnection, source: DataSource, columns: Sequence[str], repo_path: Path | None
) -> str:
    rows = _read_data_source(source, str(repo_path))
    table = rows.select(*(c for c in columns if c in rows.columns)).to_pyarrow()
    name = f"source_{source.name}"
    connection.register(name, table)
    return quoted(name)


def _timestamp_type(held: pa.DataType) -> TimestampType | None:
    if pa.types.is_timestamp(held):
        if held.unit == "ns":
            return "TIMESTAMPTZ_NS" if held.tz else "TIMESTAMP_NS"
        return "TIMESTAMPTZ" if held.tz else "TIMESTAMP"
    if pa.types.is_date(held):
        return "DATE"
    if pa.types.is_string(held) or pa.types.is_large_string(held):
        return "VARCHAR"
    return None
