"""Bulk materialization: Arrow record batches straight into packed rows.

In feature_store.yaml, beside `feature_repo.stores.packed.online_store.PackedOnlineStore`:

    batch_engine:
      type: feature_repo.stores.packed.engine.PackedComputeEngine
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
from feast import BatchFeatureView, FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import _get_column_names
from pydantic import StrictStr

from feature_repo.stores.packed.bulk import Table, pack_batch
from feature_repo.stores.packed.keys import NO_ENTITY, encoded_value, row_prefix
from feature_repo.stores.packed.layout import layout_of
from feature_repo.stores.packed.online_store import PackedOnlineStore
from feature_repo.stores.packed.source_batches import source_batches

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

BATCH_ROWS = 65_536

Stored: TypeAlias = Generator[int, None, None]


class PackedComputeEngineConfig(LocalComputeEngineConfig):
    """The ``batch_engine`` block of feature_store.yaml."""

    type: StrictStr = "feature_repo.stores.packed.engine.PackedComputeEngine"  # type: ignore[assignment]
    batch_rows: int = BATCH_ROWS
    """How many rows are packed and stored as one transaction: the bound of the memory that is used."""


class PackedComputeEngine(LocalComputeEngine):
    """Feast's local engine, which stores a view's rows in bulk where it can.

    Every batch is one transaction of upserts in which an older row never replaces a newer one. So a run that was
    killed is resumed by running it again, and two runs at once do no harm. A view that computes (a transformation,
    an aggregation, views as its sources), that is validated or also written offline, goes Feast's own way.

    What a Spark offline store yields is packed by Spark's executors. Into Redis they write themselves, in parallel,
    and the driver sees no row. LMDB is a folder of this machine, which executors of a cluster have not: there the
    packed rows come to the driver, a partition at a time.

    The first time, Feast starts at the present less the view's ttl, whatever end it was given. As of an earlier end
    that interval is empty; it then starts at the end less the ttl.
    """

    def __init__(self, batch_rows: int = BATCH_ROWS, **kwargs: Any) -> None:
        """Feast passes the configuration's fields by name."""
        super().__init__(**kwargs)
        self._batch_rows = batch_rows

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        ttl = task.feature_view.ttl
        if ttl and task.start_time >= task.end_time:
            task = replace(task, start_time=task.end_time - ttl)
        if not (isinstance(self.online_store, PackedOnlineStore) and _is_plain(task)):
            return super()._materialize_one(registry, task, **kwargs)
        job_id = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            self._materialize_packed(registry, task)
        except Exception as error:  # Feast raises what a job reports
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, error)
        return LocalMaterializationJob(job_id, MaterializationJobStatus.SUCCEEDED)

    def _materialize_packed(self, registry: BaseRegistry, task: MaterializationTask) -> None:
        table = _table(task.project, task.feature_view)
        self.online_store.layouts(self.repo_config).remember(table.layout)
        stored, total = self._store(self._pull(registry, task), table, task.feature_view)
        progress = task.tqdm_builder(total) if task.tqdm_builder else None  # type: ignore[arg-type]
        with ExitStack() as stack:
            stack.enter_context(closing(stored))
            if progress is not None:
                stack.enter_context(closing(progress))
            for count in stored:
                if progress is not None:
                    progress.update(count)

    def _pull(self, registry: BaseRegistry, task: MaterializationTask) -> RetrievalJob:
        """The latest row of every entity in the interval, to be read."""
        view = task.feature_view
        entities = [registry.get_entity(name, task.project) for name in view.entities]
        join_keys, features, event, created = _get_column_names(view, entities)
        return self.offline_store.pull_latest_from_table_or_query(
            config=self.repo_config,
            data_source=view.batch_source,
            join_key_columns=join_keys,
            feature_name_columns=features,
            timestamp_field=event,
            created_timestamp_column=created,
            start_date=task.start_time,
            end_date=task.end_time,
        )

    def _store(self, job: RetrievalJob, table: Table, view: FeatureView) -> tuple[Stored, int | None]:
        """Counts of rows as they are stored, and how many there will be where that is known."""
        if hasattr(job, "to_spark_df") and hasattr(job, "spark_session"):
            return self._store_frame(job.to_spark_df(), table), None
        mapping = view.batch_source.field_mapping or {}
        columns = {name: column for column, name in mapping.items()}
        order = sorted(columns.get(name, name) for name in table.join_keys)
        source = source_batches(job, order, self._batch_rows)
        return self._store_batches(source.batches, table, mapping), source.total

    def _store_batches(
        self, batches: Generator[pa.RecordBatch, None, None], table: Table, mapping: Mapping[str, str]
    ) -> Stored:
        """By this process, a batch at a time. The batches have the source's own names."""
        backend = self.online_store.backend(self.repo_config)
        with closing(batches):
            for batch in batches:
                names = [mapping.get(name, name) for name in batch.schema.names]
                backend.upsert(*pack_batch(table, pa.RecordBatch.from_arrays(batch.columns, names=names)))
                yield batch.num_rows

    def _store_frame(self, frame: "DataFrame", table: Table) -> Stored:
        """By Spark's executors, where they reach the storage. The frame has the view's names."""
        from feature_repo.stores.packed.spark_write import pack_on_executors, store_on_executors

        settings = self.repo_config.online_store.connection()
        if settings.is_networked:
            yield from store_on_executors(frame, table, settings, self._batch_rows)
            return
        backend = self.online_store.backend(self.repo_config)
        with closing(pack_on_executors(frame, table, self._batch_rows)) as packed:
            for keys, rows in packed:
                backend.upsert(keys, rows)
                yield len(keys)


def _is_plain(task: MaterializationTask) -> bool:
    """Whether the view's rows are the source's, so that they can be packed as they are read."""
    view = task.feature_view
    computes = any(
        getattr(view, name, None)
        for name in ("feature_transformation", "aggregations", "source_views", "filter")
    )
    return (
        type(view) in (FeatureView, BatchFeatureView)
        and view.batch_source is not None
        and view.online
        and not view.offline
        and bool(view.entity_columns)
        and task.only_latest
        and not computes
        and not getattr(view, "enable_validation", False)
    )


def _table(project: str, view: FeatureView) -> Table:
    keys = {column.name: column.dtype.to_value_type().name for column in view.entity_columns}
    prefix = row_prefix(project, view.name, keys)
    if list(keys) == [NO_ENTITY]:
        keys, prefix = {}, prefix + encoded_value("string_val", "")
    return Table(
        view=view.name,
        prefix=prefix,
        layout=layout_of(view),
        join_keys=keys,
        event=view.batch_source.timestamp_field,
        created=view.batch_source.created_timestamp_column or None,
    )
