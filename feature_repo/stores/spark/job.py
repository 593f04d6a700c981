"""Feast's retrieval job over a Spark data frame: it stays distributed until a table is asked for."""

import warnings

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkRetrievalJob
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SavedDatasetSparkStorage
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage
from pyspark.sql import DataFrame

from feature_repo.stores.spark.entity_rows import POSITION
from feature_repo.stores.spark.sources import parquet_path


class AsofSparkRetrievalJob(SparkRetrievalJob):
    """A join that runs when its result is asked for, every time anew.

    Args:
        joined: The entity rows' columns, then the features; and `POSITION`, where ``entity_rows`` are given.
        entity_rows: The caller's, where they have an order.
        config: Of the feature store.
        full_feature_names: Whether features are named ``view__feature``.
        on_demand_feature_views: Applied by `to_df` and `to_arrow`, which have the whole result.
        metadata: What was asked for.
    """

    def __init__(
        self,
        joined: DataFrame,
        entity_rows: pa.Table | None,
        *,
        config: RepoConfig,
        full_feature_names: bool,
        on_demand_feature_views: list[OnDemandFeatureView],
        metadata: RetrievalMetadata,
    ) -> None:
        super().__init__(
            spark_session=joined.sparkSession,
            query="",
            full_feature_names=full_feature_names,
            config=config,
            on_demand_feature_views=on_demand_feature_views,
            metadata=metadata,
        )
        self._joined = joined
        self._entity_rows = entity_rows

    def to_spark_df(self) -> DataFrame:
        """The result, distributed and in no order. On-demand features are not in it: they are Python's."""
        if self.on_demand_feature_views:
            names = ", ".join(view.name for view in self.on_demand_feature_views)
            warnings.warn(f"on-demand features ({names}) are in to_df and to_arrow only", stacklevel=2)
        return self._joined.drop(POSITION)

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool | None = False, timeout: int | None = None
    ) -> None:
        """Write the result from the executors: into a Spark table or path, or into the folder of a file storage.

        Args:
            storage: Where to.
            allow_overwrite: Whether what is there already may be replaced.
            timeout: Not used, as in Feast's Spark store.

        Raises:
            ValueError: a file storage is not of Parquet files.
        """
        if isinstance(storage, SavedDatasetFileStorage):
            path = parquet_path(storage.to_data_source(), self._config.repo_path)
            storage = SavedDatasetSparkStorage(path=path, file_format="parquet")
        super().persist(storage, allow_overwrite, timeout)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if self._entity_rows is None:
            if self._should_use_staging_for_arrow():
                return self._to_arrow_via_staging()
            return _in_utc(self._joined.toArrow())
        # The caller's columns are at hand: only features travel.
        taken = set(self._entity_rows.column_names)
        found = self._joined.select(*(name for name in self._joined.columns if name not in taken)).toArrow()
        features = _in_utc(found.sort_by(POSITION).drop_columns(POSITION))
        columns = [*self._entity_rows.columns, *features.columns]
        return pa.table(columns, schema=pa.schema([*self._entity_rows.schema, *features.schema]))

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


def _in_utc(table: pa.Table) -> pa.Table:
    """The same instants in UTC, not in the session's time zone."""
    fields = [
        field.with_type(pa.timestamp(field.type.unit, "UTC"))
        if pa.types.is_timestamp(field.type) and field.type.tz
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
