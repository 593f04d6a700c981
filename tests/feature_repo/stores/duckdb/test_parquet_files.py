"""Appending to tables of Parquet files: what is added, where, in which types, and what a failure leaves."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.data_source import PushMode, PushSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.types import Float32

from feature_repo.stores.duckdb.parquet_files import append, write_file
from feature_repo.stores.duckdb.store import AsofDuckDBOfflineStoreConfig

DAY = datetime(2024, 3, 1, tzinfo=UTC)


def _written(path: Path, **columns: pa.Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_rows_are_added_to_a_file_by_the_names_of_their_columns(tmp_path: Path) -> None:
    file = _written(tmp_path / "a.parquet", id=pa.array([1, 2]), text=pa.array(["a", None]))
    append(pa.table({"text": ["b"], "id": [3]}), file)
    append(pa.table({"text": pa.nulls(1), "id": [4]}), file)
    assert pq.read_table(file).to_pydict() == {"id": [1, 2, 3, 4], "text": ["a", None, "b", None]}
    assert list(tmp_path.iterdir()) == [file]


def test_who_reads_a_file_meanwhile_reads_it_as_it_was(tmp_path: Path) -> None:
    file = _written(tmp_path / "a.parquet", id=pa.array([1]))
    before = file.read_bytes()
    with file.open("rb") as reader:
        append(pa.table({"id": [2]}), file)
        assert reader.read() == before


@pytest.mark.parametrize(
    ("held", "given", "type_after"),
    [
        (pa.array([0.1], pa.float32()), pa.array([0.1]), pa.float64()),
        (pa.array([7], pa.int16()), pa.array([2**40]), pa.int64()),
        (pa.array([7]), pa.array([3], pa.int8()), pa.int64()),
        (pa.array([7]), pa.array([3.0]), pa.int64()),
        (pa.array([DAY]), pa.array([DAY.replace(tzinfo=None)]), pa.timestamp("us", "UTC")),
    ],
)
def test_a_files_column_is_widened_and_never_narrowed(
    tmp_path: Path, held: pa.Array, given: pa.Array, type_after: pa.DataType
) -> None:
    file = _written(tmp_path / "a.parquet", value=held)
    append(pa.table({"value": given}), file)
    column = pq.read_table(file).column("value")
    assert column.type == type_after
    assert column.to_pylist() == [*held.to_pylist(), *given.cast(type_after).to_pylist()]


def test_a_folder_gets_files_in_the_partitions_of_their_rows(tmp_path: Path) -> None:
    _written(tmp_path / "day=2024-03-01" / "a.parquet", id=pa.array([1]))
    append(pa.table({"id": [2, 3], "day": [date(2024, 3, 1), date(2024, 3, 2)]}), tmp_path)
    append(pa.table({"day": ["2024-03-02"], "id": [4]}), tmp_path)
    rows = ds.dataset(tmp_path, partitioning="hive").to_table()
    pairs = zip(rows.column("id").to_pylist(), rows.column("day").to_pylist(), strict=True)
    assert sorted(pairs) == [(1, "2024-03-01"), (2, "2024-03-01"), (3, "2024-03-02"), (4, "2024-03-02")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["day=2024-03-01", "day=2024-03-02"]


def test_the_files_of_a_folder_keep_one_type(tmp_path: Path) -> None:
    _written(tmp_path / "a.parquet", n=pa.array([1], pa.int16()), x=pa.array([0.5], pa.float32()))
    append(pa.table({"n": [2], "x": [0.25]}), tmp_path)
    assert {pq.read_schema(file).field("x").type for file in tmp_path.iterdir()} == {pa.float32()}
    with pytest.raises(ValueError, match="'n' holds int16, and the rows int64"):
        append(pa.table({"n": [2**40], "x": [0.25]}), tmp_path)
    assert sorted(pq.read_table(tmp_path).column("n").to_pylist()) == [1, 2]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"id": [3]}, r"has the columns id, n, and the rows id"),
        ({"id": [3], "n": ["x"]}, "column 'n' holds int32, and the rows string"),
        ({"id": [3], "n": [0.5]}, "column 'n' holds int32, and the rows double"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_table_stays(
    tmp_path: Path, rows: dict[str, list[Any]], says: str
) -> None:
    file = _written(tmp_path / "a.parquet", id=pa.array([1]), n=pa.array([1], pa.int32()))
    before = file.read_bytes()
    for path in (file, tmp_path):
        with pytest.raises(ValueError, match=says):
            append(pa.table(rows), path)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_breaks_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = _written(tmp_path / "a.parquet", id=pa.array([1]))

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": [2]})
        raise OSError("no space left")

    schema = pa.schema({"id": pa.int64()})
    with pytest.raises(OSError, match="no space left"):
        write_file(pa.RecordBatchReader.from_batches(schema, batches()), file)
    assert pq.read_table(file).column("id").to_pylist() == [1]
    assert list(tmp_path.iterdir()) == [file]


def _store(folder: Path, offline: FeastConfigBaseModel) -> FeatureStore:
    """A view over the folder ``rows``, whose column ``uid`` it calls ``user_id``, and what is pushed to it."""
    config = RepoConfig(
        project="push",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store=offline,
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="rows",
        path="rows",
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        field_mapping={"uid": "user_id"},
    )
    pushed = PushSource(name="pushed", batch_source=source)
    score = [Field(name="score", dtype=Float32)]
    store.apply(
        [user, FeatureView(name="users", entities=[user], schema=score, source=pushed, ttl=timedelta(9))]
    )
    return store


def test_what_is_pushed_to_a_folder_is_joined(tmp_path: Path) -> None:
    _written(
        tmp_path / "rows" / "day=2024-03-01" / "a.parquet",
        uid=pa.array([1]),
        score=pa.array([0.5], pa.float32()),
        event_timestamp=pa.array([DAY]),
    )
    later = DAY + timedelta(days=1)
    rows = pd.DataFrame({"uid": [1], "score": [0.25], "event_timestamp": [later], "day": [later.date()]})
    stock = _store(tmp_path, DuckDBOfflineStoreConfig())
    with pytest.raises(KeyError, match="dictionary"):  # it does not know the type of a partition
        stock.push("pushed", rows, to=PushMode.OFFLINE)
    store = _store(tmp_path, AsofDuckDBOfflineStoreConfig(threads=1))
    store.push("pushed", rows, to=PushMode.OFFLINE)
    asked = pd.DataFrame({"user_id": [1, 1], "event_timestamp": [DAY, later]})
    assert store.get_historical_features(asked, ["users:score"]).to_df()["score"].tolist() == [0.5, 0.25]
