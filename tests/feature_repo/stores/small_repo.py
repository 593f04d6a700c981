"""Small Feast repos for the tests of the stores, made of objects and files in a folder of the test's own."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import from_value_type

PROJECT = "small"
PACKED = "feature_repo.stores.packed.online_store.PackedOnlineStore"
ENGINE = "feature_repo.stores.packed.engine.PackedComputeEngine"
DAY = datetime(2026, 3, 1, tzinfo=UTC)

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)


def feast_store(
    folder: Path, online: Mapping[str, Any], engine: Mapping[str, Any] | None = None
) -> FeatureStore:
    """A Feast store whose registry and files lie in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry=str(folder / "registry.db"),
            repo_path=folder,
            online_store=dict(online),
            offline_store={"type": "duckdb"},
            batch_engine=dict(engine or {"type": "local"}),
            entity_key_serialization_version=3,
        )
    )


def feature_view(
    name: str,
    fields: Mapping[str, Any],
    entities: Sequence[Entity] = (user,),
    ttl: timedelta = timedelta(days=8),
    path: Path = Path("nowhere.parquet"),
    **options: Any,
) -> FeatureView:
    """A view over a Parquet file; its join keys are declared as their entities are."""
    keys = [Field(name=e.join_key, dtype=from_value_type(e.value_type)) for e in entities]
    schema = [*keys, *(Field(name=field, dtype=dtype) for field, dtype in fields.items())]
    source = FileSource(path=str(path), timestamp_field="event_timestamp", created_timestamp_column="created")
    return FeatureView(name=name, entities=list(entities), ttl=ttl, schema=schema, source=source, **options)


def entity_key(**ids: int) -> EntityKey:
    """A key of integers."""
    return EntityKey(join_keys=list(ids), entity_values=[Value(int64_val=value) for value in ids.values()])


def write(
    store: FeatureStore,
    view: FeatureView,
    key: EntityKey,
    values: Mapping[str, Value],
    event: datetime,
    created: datetime | None = None,
) -> None:
    """One row through Feast's provider."""
    store._get_provider().online_write_batch(store.config, view, [(key, dict(values), event, created)], None)


def write_table(path: Path, columns: Mapping[str, Any], event: Any = DAY, created: Any = DAY) -> None:
    """A Parquet file for `feature_view`; one instant is every row's."""
    rows = len(next(iter(columns.values())))
    instants = pa.timestamp("us", "UTC")
    times = {
        name: pa.array(value if isinstance(value, list) else [value] * rows, instants)
        for name, value in (("event_timestamp", event), ("created", created))
    }
    pq.write_table(pa.table({**columns, **times}), path)
