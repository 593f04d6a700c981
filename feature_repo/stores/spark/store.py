"""Feast's Spark offline store, with an exact and fast as-of join, and file sources as well as Spark's own.

In ``feature_store.yaml``::

    offline_store:
      type: feature_repo.stores.spark.store.AsofSparkOfflineStore
      spark_conf:
        spark.master: spark://...
        spark.sql.shuffle.partitions: "200"   # so many that a partition of entity rows fits a task's memory

Everything else is Feast's own.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL, FeatureView
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    SparkOfflineStore,
    SparkOfflineStoreConfig,
    get_spark_session_or_start_new_with_repoconfig,
)
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.utils import compute_non_entity_date_range
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.stores.feature_logs import write_logged_features
from feature_repo.stores.period import EPOCH
from feature_repo.stores.source_rows import source_columns
from feature_repo.stores.spark.append import append
from feature_repo.stores.spark.asof import asof_join
from feature_repo.stores.spark.entity_rows import SparkEntityRows, occurrences
from feature_repo.stores.spark.job import AsofSparkRetrievalJob
from feature_repo.stores.spark.latest import latest
from feature_repo.stores.spark.request import FeatureRequest
from feature_repo.stores.spark.sources import in_period, readable, writable


class AsofSparkOfflineStoreConfig(SparkOfflineStoreConfig):
    """Feast's Spark settings, and:

    Args:
        filter_by_created_timestamp: Whether a row is never joined before it was created. Where it is false,
            the argument of the same name of ``get_historical_features`` decides, as in stock Feast.
    """

    type: str = "feature_repo.stores.spark.store.AsofSparkOfflineStore"
    filter_by_created_timestamp: bool = True


class AsofSparkOfflineStore(SparkOfflineStore):
    """Feast's Spark store; the join is `feature_repo.stores.spark.asof`'s, and sources may be Parquet files."""

    @staticmethod
    def get_historical_features(  # type: ignore[override]
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofSparkRetrievalJob:
        """The features of entity rows as of their instants; see `feature_repo.stores.spark.asof` for the rule.

        Args:
            config: Of the feature store.
            feature_views: With their projections.
            feature_refs: ``view:feature``.
            entity_df: Rows with the join keys and ``event_timestamp`` (or one other timestamp column), as a pandas
                or Spark data frame, an Arrow table, or a query in Spark's SQL. Without one: every key and event
                timestamp that the views have from ``start_date`` to ``end_date``.
            registry: Of the feature store.
            project: Its name there.
            full_feature_names: Whether to name features ``view__feature``.
            filter_by_created_timestamp: Has an effect only where the store is configured not to filter always.
            start_date: Only without ``entity_df``.
            end_date: Only without ``entity_df``; now where it is not given.

        Returns:
            A job of as many rows as there were: their columns, then the features. `to_df` and `to_arrow` keep the
            order of a pandas frame or an Arrow table.

        Raises:
            ValueError: a feature would take the name of another column; a key is missing or of another kind.
        """
        spark = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
        hindsight = not (filter_by_created_timestamp or config.offline_store.filter_by_created_timestamp)
        asked = FeatureRequest(spark, config, feature_views, feature_refs, registry, project)
        if entity_df is None:
            period = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            views = asked.feature_rows(*period, full_feature_names=full_feature_names, hindsight=hindsight)
            rows = occurrences(views, *period)
        else:
            rows = SparkEntityRows.of(spark, entity_df)
            period = (rows.first or EPOCH, rows.last or EPOCH)  # of no entity rows any period will do
            views = asked.feature_rows(*period, full_feature_names=full_feature_names, hindsight=hindsight)
        joined = asof_join(rows.frame, rows.timestamp, views)
        return AsofSparkRetrievalJob(
            joined,
            rows.table,
            config=config,
            full_feature_names=full_feature_names,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=RetrievalMetadata(feature_refs, rows.keys, rows.first, rows.last),
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
    ) -> RetrievalJob:
        """The latest row of every key from ``start_date`` to ``end_date``, both included; naive ones are UTC.

        A row that was created after ``end_date`` counts: the next increment, which begins at ``end_date``, would not
        see it. The columns have the names that ``field_mapping`` gives them.
        """
        spark = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
        source = _readable(data_source, config)
        created = created_timestamp_column or None
        rows = spark.sql(f"SELECT * FROM {source.get_table_query_string()}")
        rows = in_period(rows, source, timestamp_field, start_date, end_date)
        found = latest(rows, join_key_columns, feature_name_columns, timestamp_field, created)
        columns = [*join_key_columns, *feature_name_columns, timestamp_field, *filter(None, [created])]
        selected = [F.col(c).alias(source.field_mapping.get(c, c)) for c in dict.fromkeys(columns)]
        if not join_key_columns:
            selected.append(F.lit(DUMMY_ENTITY_VAL).alias(DUMMY_ENTITY_ID))
        return AsofSparkRetrievalJob(
            found.select(*selected),
            None,
            config=config,
            full_feature_names=False,
            on_demand_feature_views=[],
            metadata=RetrievalMetadata(feature_name_columns, join_key_columns, start_date, end_date),
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig, data_source: DataSource, *args: Any, **kwargs: Any
    ) -> RetrievalJob:
        """Feast's, over file sources too."""
        return SparkOfflineStore.pull_all_from_table_or_query(
            config, _readable(data_source, config), *args, **kwargs
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the view's files; see `feature_repo.stores.spark.append.append`.

        Feast has renamed their columns by the source's ``field_mapping``, which is undone. What are no files is
        written by Feast's own store.

        Raises:
            ValueError: the rows' columns are not the source's.
        """
        source = writable(feature_view.batch_source, config.repo_path)
        if not isinstance(source, SparkSource) or not source.path:
            SparkOfflineStore.offline_write_batch(config, feature_view, table, progress)
            return
        spark = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
        append(spark, table.rename_columns(source_columns(source.field_mapping, table.column_names)), source)
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


def _readable(source: DataSource, config: RepoConfig) -> DataSource:
    spark = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
    return readable(source, spark, config.repo_path)
