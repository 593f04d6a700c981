"""Feast's online store with one packed value for each entity of a feature view.

In feature_store.yaml:

    online_store:
      type: feature_repo.stores.packed.online_store.PackedOnlineStore
      backend: lmdb
      path: online
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from feast import Entity, FeatureView, utils
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.stream_feature_view import StreamFeatureView
from pydantic import StrictStr

from feature_repo.stores.errors import CorruptRow
from feature_repo.stores.packed.backends import Backend
from feature_repo.stores.packed.connection import ConnectionSettings, open_backend
from feature_repo.stores.packed.keys import entity_key, row_prefix, view_prefix
from feature_repo.stores.packed.layout import Column, Layout, layout_of
from feature_repo.stores.packed.layout_book import LayoutBook
from feature_repo.stores.packed.packing import instant, pack_row, row_head, unpack_row

_log = logging.getLogger(__name__)

Written = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Row = tuple[datetime | None, dict[str, Value] | None]
Progress = Callable[[int], Any] | None


class PackedOnlineStoreConfig(ConnectionSettings):
    """The ``online_store`` block of feature_store.yaml. Feast looks for it beside the store."""

    type: StrictStr = "feature_repo.stores.packed.online_store.PackedOnlineStore"

    enforce_ttl: bool = True
    """False: values past their view's ttl are returned as present, as Feast's own stores do (feast#6821) and one of
    its tests wants (``test_odfv_write_methods``). A `MatrixReader` leaves them out all the same."""


class PackedOnlineStore(OnlineStore):
    """Stores and reads packed rows; the backend does the rest.

    A row past its view's ``ttl`` is absent: `online_read` returns ``(None, None)``, and `get_online_features` null
    values with the status OUTSIDE_MAX_AGE and the row's own time (feast#6821: the stock stores return the values as
    PRESENT). A row that is damaged is absent, counted in ``corrupt`` by view, and logged; one that was written under
    another layout gives the columns that have the same name and type, and null for the others. Rows of which a writer
    gives some columns only keep the rest of the stored row.
    """

    def __init__(self) -> None:
        """Feast makes the store and hands the configuration to each call."""
        self.corrupt: Counter[str] = Counter()
        self._opened: tuple[tuple[Any, Any], Backend, LayoutBook] | None = None

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads and writes, on a thread: neither LMDB nor a Redis connection is tied to an event loop then."""
        return SupportedAsyncMethods(read=True, write=True)

    def folder(self, config: RepoConfig) -> Path | None:
        """From where a relative ``path`` of the settings counts: the feature repo. A subclass may answer another."""
        path: Path | None = config.repo_path
        return path

    def backend(self, config: RepoConfig) -> Backend:
        """Where the rows of this configuration are kept."""
        return self._connect(config)[0]

    def layouts(self, config: RepoConfig) -> LayoutBook:
        """The layouts that its rows were written under."""
        return self._connect(config)[1]

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Sequence[Written], progress: Progress
    ) -> None:
        """See Feast. One transaction. An older row leaves a newer one as it is.

        Raises:
            ValueMismatch: a value does not fit its column.
            StoreUnavailable: nothing was written.
        """
        backend, layouts = self._connect(config)
        layout = layout_of(table)
        layouts.remember(layout)
        keys = self._keys(config, table, [entity for entity, *_ in data])
        data = [
            (entity, _without_keys(layout, entity, values), event, created)
            for entity, values, event, created in data
        ]
        if any(values.keys() != layout.positions.keys() for _, values, *_ in data):
            data = self._completed(config, table, keys, data)
        rows = [pack_row(layout, table.name, values, event, created) for _, values, event, created in data]
        backend.upsert(keys, rows)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: Sequence[Written], progress: Progress
    ) -> None:
        """See `online_write_batch`."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Row]:
        """See Feast. ``(None, None)`` for a row that is missing, past its ttl now, or damaged."""
        backend, _ = self._connect(config)
        stored = backend.read(self._keys(config, table, entity_keys))
        now = datetime.now(UTC)
        rows = self._rows(config, table, stored, requested_features)
        return [
            (None, None) if _expired(config, table, event, now) else (event, values) for event, values in rows
        ]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Row]:
        """See `online_read`."""
        return await asyncio.to_thread(self.online_read, config, table, entity_keys, requested_features)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """See Feast. Rows of kept views stay, also where their layout changes.

        Raises:
            UnsupportedType: before anything is changed.
        """
        layouts = [layout_of(table) for table in tables_to_keep]
        backend, book = self._connect(config)
        for layout in layouts:
            book.remember(layout)
        for table in tables_to_delete:
            backend.delete_prefix(view_prefix(config.project, table.name))

    def plan(self, config: RepoConfig, desired_registry_proto: RegistryProto) -> list[InfraObject]:
        """Nothing is made ahead of the first row; refuses what `update` would refuse."""
        for proto in desired_registry_proto.feature_views:
            layout_of(FeatureView.from_proto(proto))
        for stream in desired_registry_proto.stream_feature_views:
            layout_of(StreamFeatureView.from_proto(stream))
        return []

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """See Feast. Deletes the rows of these views; other projects in the same place keep theirs."""
        backend, _ = self._connect(config)
        for table in tables:
            backend.delete_prefix(view_prefix(config.project, table.name))

    async def close(self) -> None:
        """See Feast."""
        if self._opened is not None:
            self._opened[1].close()

    def _connect(self, config: RepoConfig) -> tuple[Backend, LayoutBook]:
        where = (config.online_store, self.folder(config))
        if self._opened is None or self._opened[0] != where:
            backend = open_backend(*where)
            self._opened = (where, backend, LayoutBook(backend))
        return self._opened[1:]

    def _keys(self, config: RepoConfig, table: FeatureView, entities: Sequence[EntityKey]) -> list[bytes]:
        prefixes: dict[tuple[str, ...], bytes] = {}
        keys = []
        for entity in entities:
            names = tuple(entity.join_keys)
            if names not in prefixes:
                prefixes[names] = row_prefix(config.project, table.name, names)
            keys.append(entity_key(prefixes[names], table.name, entity))
        return keys

    def _rows(
        self,
        config: RepoConfig,
        table: FeatureView,
        stored: Iterable[bytes | None],
        wanted: Sequence[str] | None,
    ) -> list[Row]:
        """Times and values of stored rows, whatever their age; ``(None, None)`` where missing or damaged."""
        layout, layouts = layout_of(table), self.layouts(config)
        rows: list[Row] = []
        for row in stored:
            try:
                rows.append((None, None) if row is None else _opened(row, layout, layouts, wanted))
            except CorruptRow as error:
                self.corrupt[table.name] += 1
                _log.warning("feature view %s: %s; materialize it again", table.name, error)
                rows.append((None, None))
        return rows

    def _completed(
        self, config: RepoConfig, table: FeatureView, keys: list[bytes], data: Sequence[Written]
    ) -> list[Written]:
        """Rows with the columns that their writers left out, as the rows before them have these.

        Two writers that each give a part of the same row at the same time can lose one part: a row is one value.
        """
        latest: dict[bytes, Mapping[str, Value]] = {}
        rows = self._rows(config, table, self.backend(config).read(keys), None)
        for key, (_, stored) in zip(keys, rows, strict=True):
            latest[key] = stored or {}
        completed = []
        for key, (entity, values, event, created) in zip(keys, data, strict=True):
            latest[key] = {**latest[key], **values}
            completed.append((entity, dict(latest[key]), event, created))
        return completed

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """All views of a request by one read. Feast's hook for stores that can."""
        asked = []
        for table, features in grouped_refs:
            entities, places, length = utils._get_unique_entities(
                table, join_key_values, entity_name_to_join_key_map
            )
            keys = self._keys(config, table, utils._get_entity_key_protos(entities))
            asked.append((table, features, keys, places, length))
        stored = iter(self._connect(config)[0].read([key for _, _, keys, *_ in asked for key in keys]))
        now = datetime.now(UTC)
        for table, features, keys, places, length in asked:
            rows = self._rows(config, table, islice(stored, len(keys)), features)
            aged = [_expired(config, table, event, now) for event, _ in rows]
            utils._populate_response_from_feature_data(
                features,
                [(event, None if old else values) for (event, values), old in zip(rows, aged, strict=True)],
                places,
                online_features_response,
                full_feature_names,
                table,
                length,
                include_feature_view_version_metadata,
            )
            columns = online_features_response.results[
                len(online_features_response.results) - len(features) :
            ]
            for column in columns:
                for where, old in zip(places, aged, strict=True):
                    for i in where if old else ():
                        column.statuses[i] = FieldStatus.OUTSIDE_MAX_AGE

    async def _read_features_per_fv_async(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.to_thread(self._read_features_per_fv, *args, **kwargs)


def _expired(config: RepoConfig, table: FeatureView, event: datetime | None, now: datetime) -> bool:
    if not config.online_store.enforce_ttl:
        return False
    ttl: timedelta | None = getattr(table, "ttl", None)  # Feast gives views on demand to stores too
    return event is not None and ttl is not None and timedelta() < ttl < now - event


def _without_keys(layout: Layout, entity: EntityKey, values: dict[str, Value]) -> dict[str, Value]:
    """Feast hands over the join keys of views on demand among their values."""
    keys = [name for name in entity.join_keys if name in values and name not in layout.positions]
    return {name: value for name, value in values.items() if name not in keys} if keys else values


def _opened(row: bytes, layout: Layout, layouts: LayoutBook, wanted: Sequence[str] | None) -> Row:
    """Time and values of one row, by the layout that it was written under."""
    head, event, _ = row_head(row)
    written = layout if head == layout.head else layouts.find(head)
    if written is None:
        raise CorruptRow("a stored row is of a layout that nobody wrote down")
    values = unpack_row(written, row)
    if written is not layout:
        values = _matched(written.columns, layout.columns, values)
    return instant(event), values if wanted is None else {
        name: values[name] for name in wanted if name in values
    }


def _matched(
    written: Sequence[Column], wanted: Sequence[Column], values: Mapping[str, Value]
) -> dict[str, Value]:
    """The values of columns that have kept name and type; null for the others."""
    kept = set(written)
    return {column.name: values[column.name] if column in kept else Value() for column in wanted}
