"""Segments: cut anywhere, or damaged anywhere, they give back a prefix of whole batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.errors import RecommendError
from feature_repo.events import IMPRESSIONS, OUTCOMES
from serving.event_log.segment import Segment
from tests.serving.log_rows import impressions, outcomes


@dataclass(frozen=True)
class Batch:
    table: str
    rows: pa.RecordBatch

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    @property
    def message(self) -> memoryview:
        return memoryview(self.rows.serialize())


def written(folder: Path, groups: Sequence[Sequence[Batch]]) -> tuple[bytes, list[int]]:
    """A segment's bytes, and its size after each write."""
    segment = Segment.create(folder, 1)
    sizes = []
    for group in groups:
        segment.write(group)
        sizes.append(segment.size)
    segment.close()
    data = segment.path.read_bytes()
    segment.path.unlink()
    assert sizes[-1] == len(data)
    return data, sizes


def read(folder: Path, data: bytes) -> tuple[list[int], list[int], int]:
    """Request ids and event ids in a file of these bytes, and its torn bytes."""
    path = folder / "00000001.wal"
    path.write_bytes(data)
    segment = Segment.open(path)
    try:
        contents = segment.read()
    finally:
        segment.close()
    shown, acted = contents.tables.get("impressions"), contents.tables.get("outcomes")
    return (
        [] if shown is None else shown["request_id"].to_pylist(),
        [] if acted is None else acted["event_id"].to_pylist(),
        contents.torn_bytes,
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[int]]:
    """Six writes: an answer and an outcome each."""
    folder = tmp_path_factory.mktemp("segments")
    groups = [
        [Batch(IMPRESSIONS.name, impressions(n, rows=2)), Batch(OUTCOMES.name, outcomes([100 + n]))]
        for n in range(6)
    ]
    return folder, *written(folder, groups)


@given(st.data())
def test_a_cut_segment_gives_a_prefix_of_whole_batches(
    sample: tuple[Path, bytes, list[int]], data: st.DataObject
) -> None:
    folder, whole, sizes = sample
    cut = data.draw(st.integers(0, len(whole)))
    shown, acted, torn = read(folder, whole[:cut])
    finished = sum(size <= cut for size in sizes)
    answers = len(shown) // 2
    assert shown == [n for n in range(answers) for _ in (0, 1)], "whole batches, in their order"
    assert acted == [100 + n for n in range(len(acted))]
    assert answers in (finished, finished + 1)
    assert len(acted) == finished
    if cut in (0, *sizes):
        assert torn == 0
    assert 0 <= torn <= cut


@given(st.data())
def test_a_damaged_byte_costs_no_batch_before_it(
    sample: tuple[Path, bytes, list[int]], data: st.DataObject
) -> None:
    folder, whole, sizes = sample
    place = data.draw(st.integers(8, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    damaged = bytearray(whole)
    damaged[place] ^= change
    shown, acted, torn = read(folder, bytes(damaged))
    finished = sum(size <= place for size in sizes)
    assert len(acted) == finished
    assert shown[: 2 * finished] == [n for n in range(finished) for _ in (0, 1)]
    assert torn > 0


def test_a_tail_of_zeros_is_torn(sample: tuple[Path, bytes, list[int]]) -> None:
    folder, whole, _ = sample
    shown, acted, torn = read(folder, whole + bytes(4096))
    assert (len(shown), len(acted), torn) == (12, 6, 4096)


def test_a_file_of_another_version_is_refused_and_stays(tmp_path: Path) -> None:
    with pytest.raises(RecommendError, match="start the version that wrote it"):
        read(tmp_path, b"RECWAL99 and what comes after")
    assert (tmp_path / "00000001.wal").exists()


def test_columns_of_an_earlier_version_are_read_as_they_were(tmp_path: Path) -> None:
    older = pa.record_batch({"event_id": pa.array([1, 2], pa.int64()), "colour": ["red", "blue"]})
    data, _ = written(tmp_path, [[Batch("outcomes", older)]])
    (tmp_path / "00000001.wal").write_bytes(data)
    segment = Segment.open(tmp_path / "00000001.wal")
    assert segment.read().tables["outcomes"].to_pylist() == older.to_pylist()
    segment.close()
