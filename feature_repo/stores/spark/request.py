"""What is asked of Feast's feature views, as rows that the as-of join takes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    _apply_bfv_transformations,
    _register_iceberg_source_as_temp_view,
)
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext, get_feature_view_query_context
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from pyspark.sql import DataFrame, SparkSession

from feature_repo.stores.source_rows import source_columns
from feature_repo.stores.spark.asof import FeatureRows
from feature_repo.stores.spark.instants import utc
from feature_repo.stores.spark.sources import in_period, over, readable


@dataclass(frozen=True)
class FeatureRequest:
    """Features of some views.

    Args:
        spark: Where they are read.
        config: Of the feature store.
        views: With their projections.
        refs: ``view:feature``.
        registry: Of the feature store.
        project: Its name there.
    """

    spark: SparkSession
    config: RepoConfig
    views: list[FeatureView]
    refs: list[str]
    registry: BaseRegistry
    project: str

    def feature_rows(
        self, start: datetime, end: datetime, *, full_feature_names: bool, hindsight: bool
    ) -> list[FeatureRows]:
        """The views of which features are asked for, without the rows that are of no use in the period.

        Args:
            start: The first instant as of which features are wanted.
            end: The last one.
            full_feature_names: Whether to name features ``view__feature``.
            hindsight: Whether a row that was created late counts from its event on.

        Raises:
            ValueError: a view has no source that Spark can read.
        """
        views = [self._over_spark(view) for view in self.views]
        contexts = get_feature_view_query_context(self.refs, views, self.registry, self.project, (start, end))
        contexts = _apply_bfv_transformations(self.spark, views, contexts)
        named = {view.projection.name_to_use(): view for view in views}
        return [
            self._view_rows(
                context,
                named[context.name],
                self._rows(context, named[context.name], start, end),
                full_feature_names=full_feature_names,
                hindsight=hindsight,
            )
            for context in contexts
        ]

    def _view_rows(
        self,
        context: FeatureViewQueryContext,
        view: FeatureView,
        rows: DataFrame,
        *,
        full_feature_names: bool,
        hindsight: bool,
    ) -> FeatureRows:
        all_features = source_columns(context.field_mapping, [field.name for field in view.features])
        return FeatureRows(
            rows=rows,
            keys=_keys(context, view),
            features=_features(context, full_feature_names),
            event_timestamp=context.timestamp_field,
            created=context.created_timestamp_column or None,
            tie_break=tuple(column for column in all_features if column in rows.columns),
            ttl=view.ttl or None,
            hindsight=hindsight,
        )

    def _over_spark(self, view: FeatureView) -> FeatureView:
        if view.batch_source is None:
            raise ValueError(f"feature view {view.name!r} has no batch source: it cannot be joined")
        if isinstance(view.batch_source, IcebergSource):
            _register_iceberg_source_as_temp_view(self.spark, view.batch_source, self.config)
        return over(view, readable(view.batch_source, self.spark, self.config.repo_path))

    def _rows(
        self, context: FeatureViewQueryContext, view: FeatureView, start: datetime, end: datetime
    ) -> DataFrame:
        rows = self.spark.sql(f"SELECT * FROM {context.table_subquery}")
        first = _reaching_back(start, view.ttl)
        return in_period(rows, view.batch_source, context.timestamp_field, first, end)


def _reaching_back(start: datetime, ttl: timedelta | None) -> datetime | None:
    """The first instant whose row still holds at ``start``; ``None`` is without limit."""
    first = utc(start)
    if not ttl or first - datetime.min.replace(tzinfo=UTC) < ttl:
        return None
    return first - ttl


def _keys(context: FeatureViewQueryContext, view: FeatureView) -> tuple[tuple[str, str], ...]:
    """(column of the entity rows, column of the source); Feast's dummy entity is in neither."""
    column = {field: held for held, field in context.field_mapping.items()}
    fields = [field.name for field in view.entity_columns if field.name != DUMMY_ENTITY_ID]
    shown = view.projection.join_key_map
    return tuple((shown.get(field, field), column.get(field, field)) for field in fields)


def _features(context: FeatureViewQueryContext, full_feature_names: bool) -> tuple[tuple[str, str], ...]:
    """(name in the result, column of the source)."""
    prefix = f"{context.name}__" if full_feature_names else ""
    return tuple((prefix + context.field_mapping.get(column, column), column) for column in context.features)
