"""Feast's retrieval job over a reader of record batches: a result is streamed wherever it need not be whole."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis  # type: ignore[import-untyped]
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from feast.data_format import ParquetFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.duckdb import _write_data_source
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.saved_dataset import SavedDatasetStorage

from feature_repo.stores.duckdb.parquet_files import write_file

BATCH_ROWS = 122_880
"""Rows a batch: DuckDB's row group, so that a streamed file has row groups of a usual size."""


class StreamedRetrievalJob(RetrievalJob):
    """A query that runs when its result is asked for, every time anew.

    Args:
        read: Runs it: at most so many rows a batch.
        sql: Its text.
        metadata: What was asked for, where that is known.
        on_demand_feature_views: Applied by `to_df`, `to_arrow` and `persist`, not by `to_arrow_reader`.
        full_feature_names: Whether features are named ``view__feature``.
        repo_path: From where relative paths count.
        staging_location: Of `to_remote_storage`; a folder or a bucket.
        staging_endpoint: Of the bucket.
    """

    def __init__(
        self,
        read: Callable[[int], pa.RecordBatchReader],
        sql: Callable[[], str],
        *,
        metadata: RetrievalMetadata | None = None,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        full_feature_names: bool = False,
        repo_path: Path | None = None,
        staging_location: str | None = None,
        staging_endpoint: str = "",
    ) -> None:
        super().__init__()
        self._read = read
        self._sql = sql
        self._metadata = metadata
        self._on_demand_feature_views = on_demand_feature_views or []
        self._full_feature_names = full_feature_names
        self._repo_path = repo_path
        self._staging_location = staging_location
        self._staging_endpoint = staging_endpoint

    def to_arrow_reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The result without on-demand features, a batch at a time."""
        return self._read(batch_rows)

    def to_sql(self) -> str:
        """The text of the query."""
        return self._sql()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._read(BATCH_ROWS).read_all()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        rows: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return rows

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
        """Write the result, with its on-demand features, to a Parquet file or a folder of them.

        Raises:
            SavedDatasetLocationAlreadyExists: there is something already, and ``allow_overwrite`` is false.
        """
        target = storage.to_data_source()
        if not isinstance(target, FileSource) or not isinstance(target.file_format, ParquetFormat | None):
            whole = ibis.memtable(self.to_arrow())
            _write_data_source(whole, target, str(self._repo_path), "overwrite", allow_overwrite)
            return
        uri = FileSource.get_uri_for_file_path(self._repo_path, target.path)
        if not allow_overwrite and Path(uri).exists():
            raise SavedDatasetLocationAlreadyExists(location=target.path)
        self._write(uri, target.s3_endpoint_override)

    def supports_remote_storage_export(self) -> bool:
        """Whether there is a staging location."""
        return self._staging_location is not None

    def to_remote_storage(self) -> list[str]:
        """Write the result to a new folder of the staging location, and name its Parquet files.

        Raises:
            ValueError: no staging location is configured.
        """
        if self._staging_location is None:
            raise ValueError("offline_store.staging_location is not set in feature_store.yaml")
        return self._write(f"{self._staging_location}/{uuid.uuid4()}", self._staging_endpoint)

    def _write(self, uri: str, endpoint: str) -> list[str]:
        filesystem, path = FileSource.create_filesystem_and_path(uri, endpoint)
        rows = self.to_arrow().to_reader() if self.on_demand_feature_views else self.to_arrow_reader()
        if filesystem is None and path.endswith(".parquet"):
            write_file(rows, Path(path))
            return [uri]
        if path.endswith(".parquet"):
            with pq.ParquetWriter(path, rows.schema, filesystem=filesystem) as writer:
                for batch in rows:
                    writer.write_batch(batch)
            return [uri]
        written: list[Any] = []
        ds.write_dataset(
            rows,
            path,
            format="parquet",
            filesystem=filesystem,
            basename_template="part-{i}.parquet",
            existing_data_behavior="delete_matching",  # what is overwritten is replaced, not added to
            file_visitor=written.append,
            preserve_order=True,
        )
        scheme = uri.partition("://")[0] + "://" if filesystem is not None else ""
        return [f"{scheme}{file.path}" for file in written]

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """What is computed from the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata
