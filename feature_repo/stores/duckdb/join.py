"""Runs the as-of join in DuckDB: scans the views' sources, plans, and streams the result as Arrow."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from feast.data_source import DataSource

from feature_repo.stores.duckdb.asof_sql import (
    ENTITY_ROWS,
    FEW_ENTITY_ROWS,
    Plan,
    Probe,
    Source,
    View,
    asof_join_sql,
    occurrences_sql,
    plan,
    probe_sql,
)
from feature_repo.stores.duckdb.scan import Session, scan
from feature_repo.stores.entity_rows import EntityRows
from feature_repo.stores.period import Period
from feature_repo.stores.source_rows import source_columns


@dataclass(frozen=True)
class RequestedView:
    """What is asked of one feature view.

    Args:
        name: Its name.
        source: Its batch source.
        join_keys: (column of the entity rows, key of the view).
        features: (name in the result, feature of the view).
        all_features: Every feature of the view, asked for or not: they decide between rows that are equal in
            keys, event and created, so that the same row wins whichever features are asked for.
        ttl: How long a row holds; none is for ever.
        hindsight: Whether a row that was created late counts from its event on.
    """

    name: str
    source: DataSource
    join_keys: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    all_features: tuple[str, ...]
    ttl: timedelta | None = None
    hindsight: bool = False


@dataclass(frozen=True)
class AsofJoin:
    """The features of entity rows as of their instants, computed when it is read.

    Args:
        session: The DuckDB to run in.
        rows: The entity rows.
        views: The feature views, in the order of the result's columns.
        repo_path: From where relative paths of sources count.
        few_rows: Up to so many entity rows nothing is probed.
    """

    session: Session
    rows: EntityRows
    views: tuple[RequestedView, ...]
    repo_path: Path | None = None
    few_rows: int = FEW_ENTITY_ROWS

    def reader(self, batch_rows: int) -> pa.RecordBatchReader:
        """The entity rows' columns and then the features: as many rows as there were, in their order.

        Args:
            batch_rows: At most so many rows a batch.

        Raises:
            OSError, ValueError, TypeError: a source is missing, lacks a column, or holds another
                type than the join needs.
            FeastEntityDFMissingColumnsError: the entity rows lack a join key.
        """
        if not self.views:  # all that was asked for are on-demand features of the entity rows themselves
            return self.rows.table.to_reader(batch_rows)
        with ExitStack() as stack:
            connection = stack.enter_context(self.session.connect())
            features = connection.sql(self._prepare(connection)).to_arrow_reader(batch_rows)
            schema = pa.schema([*self.rows.table.schema, *features.schema])
            return pa.RecordBatchReader.from_batches(schema, self._batches(features, schema, stack.pop_all()))

    def sql(self) -> str:
        """The query that is run, over the table ``entity_rows``."""
        with self.session.connect() as connection:
            return self._prepare(connection)

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> str:
        scanned = [scan_view(connection, v, self.repo_path) for v in self.views]
        key_types: dict[str, list[pa.DataType]] = {}
        for requested, (_, schema) in zip(self.views, scanned, strict=True):
            for number, (key, _) in enumerate(requested.join_keys):
                key_types.setdefault(key, []).append(schema.field(number).type)
        connection.register(ENTITY_ROWS, self.rows.joinable(key_types))
        column = {key: f"key_{n}" for n, key in enumerate(key_types)}
        views = [
            replace(view, entity_keys=tuple(column[k] for k, _ in requested.join_keys))
            for requested, (view, _) in zip(self.views, scanned, strict=True)
        ]
        period = self.rows.period()
        return asof_join_sql([(v, self._plan(connection, v, period)) for v in views], period)

    def _plan(self, connection: duckdb.DuckDBPyConnection, view: View, period: Period) -> Plan:
        if self.rows.table.num_rows <= self.few_rows:
            return Plan(ordered=False, distinct=False, selective=True)
        probed = connection.sql(probe_sql(view, period)).fetchall()[0]
        return plan(Probe(*probed))

    def _batches(
        self, features: pa.RecordBatchReader, schema: pa.Schema, stack: ExitStack
    ) -> Iterator[pa.RecordBatch]:
        done = 0
        with stack:
            for batch in features:
                part = self.rows.table.slice(done, batch.num_rows)
                done += batch.num_rows
                columns = [column.combine_chunks() for column in part.columns]
                yield pa.RecordBatch.from_arrays([*columns, *batch.columns], schema=schema)
        if done != self.rows.table.num_rows:
            raise RuntimeError(f"the as-of join answered {done} of {self.rows.table.num_rows} entity rows")


def scan_view(
    connection: duckdb.DuckDBPyConnection, requested: RequestedView, repo_path: Path | None
) -> tuple[View, pa.Schema]:
    """The view as the join takes it, still without the names of its keys in the entity rows; and the Arrow
    types of its columns, the keys first."""
    source = requested.source
    mapping = source.field_mapping
    keys = source_columns(mapping, [k for _, k in requested.join_keys])
    features = source_columns(mapping, [f for _, f in requested.features])
    others = source_columns(mapping, requested.all_features)
    times = source_columns(
        mapping, [source.timestamp_field, *filter(None, [source.created_timestamp_column])]
    )
    found = scan(connection, source, (*keys, *times, *features), repo_path, optional=others)
    view = View(
        source=Source(
            relation=found.relation,
            keys=keys,
            event_timestamp=found.instant(times[0]),
            created=found.instant(times[1]) if len(times) > 1 else None,
            tie_break=tuple(sorted(c for c in others if c in found.schema.names)),
            hindsight=requested.hindsight,
        ),
        entity_keys=(),
        features=tuple((name, c) for (name, _), c in zip(requested.features, features, strict=True)),
        ttl=requested.ttl,
    )
    return view, found.schema


def occurrences(
    session: Session, views: tuple[RequestedView, ...], period: Period, repo_path: Path | None
) -> EntityRows:
    """Entity rows where there are none: every key and event timestamp that the views' sources have.

    Args:
        session: The DuckDB to run in.
        views: They must have the same join keys.
        period: Of the events.
        repo_path: From where relative paths of sources count.

    Raises:
        ValueError: there are no views, or they have different keys.
    """
    if not views:
        raise ValueError("no feature view to take entities from: pass an entity_df")
    keys = [k for k, _ in views[0].join_keys]
    for other in views[1:]:
        if [k for k, _ in other.join_keys] != keys:
            raise ValueError(
                f"feature views {views[0].name!r} and {other.name!r} have different join keys, so that there is "
                "no one list of entities: pass an entity_df"
            )
    with session.connect() as connection:
        scanned = [scan_view(connection, v, repo_path)[0] for v in views]
        found = connection.sql(occurrences_sql(scanned, period)).to_arrow_table()
    events = found.column("event").cast(pa.timestamp("us", "UTC"))
    return EntityRows(
        pa.table([*found.columns[:-1], events], names=[*keys, "event_timestamp"]), "event_timestamp"
    )
