"""Reads a data source as materialization does: the latest row of every key, or every row, of a period."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from feast.data_source import DataSource

from feature_repo.stores.duckdb.asof_sql import Source, all_sql, latest_sql
from feature_repo.stores.duckdb.scan import Session, scan
from feature_repo.stores.period import Period


@dataclass(frozen=True)
class Pull:
    """Rows of a source, read when they are asked for. All names are the source's own.

    Args:
        session: The DuckDB to run in.
        source: A data source of Feast.
        join_keys: The columns that make a key.
        features: The other columns.
        timestamp: The event timestamp column.
        created: The created timestamp column, where there is one.
        period: Of the event timestamps.
        latest: Whether to keep the latest row of every key alone: the one with the greatest event timestamp,
            then ``created``, then values of the features in the order of their names.
        repo_path: From where relative paths of sources count.
    """

    session: Session
    source: DataSource
    join_keys: tuple[str, ...]
    features: tuple[str, ...]
    timestamp: str
    created: str | None
    period: Period
    latest: bool
    repo_path: Path | None = None

    def reader(self, batch_rows: int) -> pa.RecordBatchReader:
        """Join keys, features, event timestamp and created, the latest rows in the order of their keys.

        Raises:
            OSError, ValueError, TypeError: as `feature_repo.stores.duckdb.scan.scan`.
        """
        with ExitStack() as stack:
            connection = stack.enter_context(self.session.connect())
            rows = connection.sql(self._query(connection)).to_arrow_reader(batch_rows)
            kept = stack.pop_all()

        def batches() -> Iterator[pa.RecordBatch]:
            with kept:
                yield from rows

        return pa.RecordBatchReader.from_batches(rows.schema, batches())

    def sql(self) -> str:
        """The query that is run."""
        with self.session.connect() as connection:
            return self._query(connection)

    def _query(self, connection: duckdb.DuckDBPyConnection) -> str:
        times = tuple(filter(None, (self.timestamp, self.created)))
        columns = tuple(dict.fromkeys((*self.join_keys, *self.features, *times)))
        found = scan(connection, self.source, columns, self.repo_path)
        rows = Source(
            relation=found.relation,
            keys=self.join_keys,
            event_timestamp=found.instant(self.timestamp),
            created=found.instant(self.created) if self.created else None,
            tie_break=tuple(sorted(self.features)),
        )
        return (latest_sql if self.latest else all_sql)(rows, columns, self.period)
