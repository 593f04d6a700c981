"""The one convention that ties a view to its offline table: same name, same keys, same time columns."""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Array, Float32, Int64

from feature_repo.home import tables_path

FRESH = timedelta(days=8)
"""How long a snapshot holds: a weekly one, and a day of grace. An older row is no value at all."""


def numbers(*names: str) -> list[Field]:
    """Float32 features; int counts are widened, since a ranker's matrix is float32."""
    return [Field(name=n, dtype=Float32) for n in names]


def lists(*names: str) -> list[Field]:
    """Lists of candidate ids, best first."""
    return [Field(name=n, dtype=Array(Int64)) for n in names]


def view_of_table(name: str, entities: list[Entity], schema: list[Field], description: str) -> FeatureView:
    """A feature view over the offline table of the same name.

    Args:
        name: Of the view and of its table, ``tables/<name>/day=…/*.parquet``.
        entities: Their join keys are the table's keys.
        schema: The columns that are features, in order.
        description: One line.
    """
    source = FileSource(
        name=name,
        path=str(tables_path() / name),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    return FeatureView(
        name=name, entities=entities, schema=schema, source=source, ttl=FRESH, description=description
    )
