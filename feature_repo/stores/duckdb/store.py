"""Feast's DuckDB offline store, with an exact and fast as-of join.

In ``feature_store.yaml``::

    offline_store:
      type: feature_repo.stores.duckdb.store.AsofDuckDBOfflineStore
      memory_limit: 8GB        # of one query; DuckDB spills what does not fit
      temp_directory: spill    # the folder where to

Everything else is Feast's own.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_logging import LOG_DATE_FIELD, LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _validate_lance_feature_views,
)
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.utils import compute_non_entity_date_range

from feature_repo.stores.duckdb.job import StreamedRetrievalJob
from feature_repo.stores.duckdb.join import AsofJoin, RequestedView, occurrences
from feature_repo.stores.duckdb.parquet_files import append
from feature_repo.stores.duckdb.pull import Pull
from feature_repo.stores.duckdb.scan import Session, local_parquet
from feature_repo.stores.entity_rows import EntityRows
from feature_repo.stores.feature_logs import write_logged_features
from feature_repo.stores.period import Period, microseconds
from feature_repo.stores.source_rows import source_columns


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Feast's DuckDB settings, and:

    Args:
        memory_limit: Of one query, such as ``8GB``; four fifths of the memory where it is not given.
        temp_directory: Where a query spills; the system's temporary folder where it is not given.
        threads: Of one query; as many as there are cores where it is not given.
        filter_by_created_timestamp: Whether a row is never joined before it was created. Where it is false,
            the argument of the same name of ``get_historical_features`` decides, as in stock Feast.
    """

    type: str = "feature_repo.stores.duckdb.store.AsofDuckDBOfflineStore"
    memory_limit: str | None = None
    temp_directory: str | None = None
    threads: int | None = None
    filter_by_created_timestamp: bool = True


class AsofDuckDBOfflineStore(DuckDBOfflineStore):
    """Feast's DuckDB store; what it reads and appends, it does so in its own way. Jobs run when their result is taken."""

    @staticmethod
    def get_historical_features(  # type: ignore[override]
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> StreamedRetrievalJob:
        """The features of entity rows as of their instants; see `feature_repo.stores.duckdb.asof_sql` for the rule.

        Args:
            config: Of the feature store.
            feature_views: With their projections.
            feature_refs: ``view:feature``.
            entity_df: Rows with the join keys and ``event_timestamp`` (or one other timestamp column), as a
                data frame, an Arrow table, or a query in DuckDB's SQL. Without one: every key and event
                timestamp that the views have from ``start_date`` to ``end_date``.
            registry: Of the feature store.
            project: Its name there.
            full_feature_names: Whether to name features ``view__feature``.
            filter_by_created_timestamp: Has an effect only where the store is configured not to filter always.
            start_date: Only without ``entity_df``.
            end_date: Only without ``entity_df``; now where it is not given.

        Returns:
            A job of as many rows as there were, in their order: their columns, then the features.

        Raises:
            ValueError: a feature would take the name of a column of the entity rows.
        """
        _validate_lance_feature_views(feature_views)
        settings = config.offline_store
        repo_path = config.repo_path
        known = filter_by_created_timestamp or settings.filter_by_created_timestamp
        views = tuple(
            _requested(v, feature_refs, full_feature_names, hindsight=not known) for v in feature_views
        )
        if entity_df is None:
            start, end = compute_non_entity_date_range(
                feature_views, start_date=start_date, end_date=end_date
            )
            period = Period(microseconds(start), microseconds(end))
            rows = occurrences(_session(config), views, period, repo_path)
        else:
            rows = EntityRows.of(
                _queried(_session(config), entity_df) if isinstance(entity_df, str) else entity_df
            )
        _check_names(views, rows)
        join = AsofJoin(_session(config), rows, views, repo_path)
        first, last = rows.bounds()
        return StreamedRetrievalJob(
            join.reader,
            join.sql,
            metadata=RetrievalMetadata(feature_refs, rows.keys, first, last),
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
            repo_path=repo_path,
            staging_location=settings.staging_location,
            staging_endpoint=settings.staging_location_endpoint_override or "",
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> StreamedRetrievalJob:
        """The latest row of every key from ``start_date`` to ``end_date``, both included; naive ones are UTC.

        A row that was created after ``end_date`` counts: the next increment, which begins at ``end_date``,
        would not see it. `StreamedRetrievalJob.to_arrow_reader` streams the rows.
        """
        period = Period(microseconds(start_date), microseconds(end_date))
        columns = (join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return _pull(config, data_source, *columns, period, latest=True)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> StreamedRetrievalJob:
        """Every row from ``start_date`` to ``end_date``, both included; naive ones are UTC, ``None`` is open."""
        period = Period(
            None if start_date is None else microseconds(start_date),
            None if end_date is None else microseconds(end_date),
        )
        columns = (join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return _pull(config, data_source, *columns, period, latest=False)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the view's source; see `feature_repo.stores.duckdb.parquet_files.append`.

        Feast has renamed their columns by the source's ``field_mapping``, which is undone. What is no local Parquet
        is written by Feast's own store.

        Raises:
            ValueError: the rows' columns are not the source's.
        """
        source = feature_view.batch_source
        path = local_parquet(source, config.repo_path)
        if path is None:
            DuckDBOfflineStore.offline_write_batch(config, feature_view, table, progress)
            return
        append(table.rename_columns(source_columns(source.field_mapping, table.column_names)), path)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """See `feature_repo.stores.feature_logs.write_logged_features`."""
        write_logged_features(data, logging_config, config.repo_path)


def _requested(
    view: FeatureView, refs: list[str], full_feature_names: bool, *, hindsight: bool
) -> RequestedView:
    if view.batch_source is None:
        raise ValueError(f"feature view {view.name!r} has no batch source: it cannot be joined")
    projection = view.projection
    prefix = f"{projection.name_to_use()}:"
    wanted = dict.fromkeys(ref.removeprefix(prefix) for ref in refs if ref.startswith(prefix))
    shown = f"{projection.name_alias or view.name}__" if full_feature_names else ""
    keys = [field.name for field in view.entity_columns if field.name != DUMMY_ENTITY_ID]
    return RequestedView(
        name=projection.name_to_use(),
        source=view.batch_source,
        join_keys=tuple((projection.join_key_map.get(key, key), key) for key in keys),
        features=tuple((shown + feature, feature) for feature in wanted),
        all_features=tuple(field.name for field in view.features),
        ttl=view.ttl or None,
        hindsight=hindsight,
    )


def _check_names(views: tuple[RequestedView, ...], rows: EntityRows) -> None:
    taken = set(rows.table.column_names)
    for view in views:
        for name, feature in view.features:
            if name in taken:
                raise ValueError(
                    f"feature {view.name}:{feature} would be a second column {name!r} of the result: rename the "
                    "column of the entity rows, or ask for full_feature_names"
                )
            taken.add(name)


def _queried(session: Session, query: str) -> pa.Table:
    with session.connect() as connection:
        return connection.sql(query).to_arrow_table()


def _pull(
    config: RepoConfig,
    source: DataSource,
    join_keys: list[str],
    features: list[str],
    timestamp: str,
    created: str | None,
    period: Period,
    *,
    latest: bool,
) -> StreamedRetrievalJob:
    pull = Pull(
        session=_session(config),
        source=source,
        join_keys=tuple(join_keys),
        features=tuple(f for f in features if f != LOG_DATE_FIELD),
        timestamp=timestamp,
        created=created or None,
        period=period,
        latest=latest,
        repo_path=config.repo_path,
    )
    return StreamedRetrievalJob(
        pull.reader,
        pull.sql,
        repo_path=config.repo_path,
        staging_location=config.offline_store.staging_location,
        staging_endpoint=config.offline_store.staging_location_endpoint_override or "",
    )


def _session(config: RepoConfig) -> Session:
    settings = config.offline_store
    return Session(settings.memory_limit, settings.temp_directory, settings.threads)
