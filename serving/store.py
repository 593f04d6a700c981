"""Reads of the online store. The only file of serving that knows Feast."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from feast import FeatureStore
from numpy.typing import NDArray

from feature_repo.catalog import feast_repo
from feature_repo.errors import RecommendError
from feature_repo.recommender import Recommender
from feature_repo.stores.errors import StoreUnavailable, UnknownName
from feature_repo.stores.packed.decoding import RowCounts
from feature_repo.stores.packed.matrix import MatrixReader
from serving.metrics import FEATURE_ROWS, Children
from training.rankers import Matrix

WORKSPACE_KEY = "workspace_id"
"""Join key of every domain's workspace entity: the column that all tables carry."""

CandidateLists = Mapping[str, NDArray[np.int64]]
"""Candidate ids by source column, best first."""


@dataclass(frozen=True)
class _Reader:
    """A recommender's reader, and where its columns lie in the order that rankers expect."""

    matrix: MatrixReader
    columns: NDArray[np.intp] | None


class OnlineFeatures:
    """The online store behind three verbs. Rows older than their view's TTL at ``as_of`` are not there, nor are
    rows dated after it. Not for use by two threads at a time."""

    def __init__(self) -> None:
        """Nothing is opened before the first read."""
        self._feast: FeatureStore | None = None
        self._readers: dict[str, _Reader] = {}

    def candidate_lists(
        self, recommender: Recommender, query_id: int, as_of: datetime
    ) -> CandidateLists | None:
        """The list of each source, whole; None where the query entity has no row.

        Raises:
            Exception: whatever the store raises when it is down.
        """
        view = recommender.candidates.name
        columns = [source.column for source in recommender.sources]
        row = self._lists(recommender, view, columns, {recommender.query_key: query_id}, as_of)
        if all(row[column] is None for column in columns):
            return None
        return {column: ids if ids is not None else _NO_IDS for column, ids in row.items()}

    def popular(
        self, recommender: Recommender, workspace_id: int, as_of: datetime
    ) -> NDArray[np.int64] | None:
        """The workspace's popular candidates, best first, int64; None where there is no row.

        Raises:
            Exception: whatever the store raises when it is down.
        """
        column = recommender.popular_column
        key = {WORKSPACE_KEY: workspace_id}
        return self._lists(recommender, recommender.popular.name, [column], key, as_of)[column]

    def features(
        self, recommender: Recommender, query_id: int, candidate_ids: NDArray[np.int64], as_of: datetime
    ) -> Matrix:
        """What the recommender's rankers see, ``[candidates, feature_names]``, NaN where there is no value.

        Raises:
            RecommendError: the applied feature service lacks a declared feature.
            Exception: whatever the store raises when it is down.
        """
        reader = self._reader(recommender)
        query = {recommender.query_key: query_id}
        with self._anew_after_an_error():
            found = reader.matrix.read(query, candidate_ids, recommender.candidate_key, as_of)
        _count(found.counts)
        if reader.columns is None:
            return found.values
        return np.ascontiguousarray(found.values[:, reader.columns])

    def _lists(
        self,
        recommender: Recommender,
        view: str,
        columns: list[str],
        key: Mapping[str, int],
        as_of: datetime,
    ) -> dict[str, NDArray[np.int64] | None]:
        reader = self._reader(recommender)
        with self._anew_after_an_error():
            return reader.matrix.lists(view, columns, key, as_of)

    def _reader(self, recommender: Recommender) -> _Reader:
        if recommender.name not in self._readers:
            with self._anew_after_an_error():
                self._feast = self._feast or FeatureStore(repo_path=str(feast_repo()))
                matrix = MatrixReader.of_store(self._feast, recommender.name)
                self._readers[recommender.name] = _Reader(matrix, _columns(recommender, matrix))
        return self._readers[recommender.name]

    @contextmanager
    def _anew_after_an_error(self) -> Iterator[None]:
        """Registry or connection may be the broken part: the next read opens them anew. A storage that is only out
        of reach is reached again by the connection that there is."""
        try:
            yield
        except StoreUnavailable:
            raise
        except Exception as error:
            self._feast = None
            self._readers.clear()
            if isinstance(error, UnknownName):
                raise _not_applied(error) from error
            raise


_NO_IDS = np.zeros(0, np.int64)
_ROWS = Children(FEATURE_ROWS)


def _columns(recommender: Recommender, matrix: MatrixReader) -> NDArray[np.intp] | None:
    if matrix.names == recommender.feature_names:
        return None
    place = {name: n for n, name in enumerate(matrix.names)}
    if missing := [name for name in recommender.feature_names if name not in place]:
        raise _not_applied(f"the applied feature service {recommender.name} lacks {', '.join(missing)}")
    return np.array([place[name] for name in recommender.feature_names], np.intp)


def _count(counts: Mapping[str, RowCounts]) -> None:
    for view, count in counts.items():
        for state, rows in vars(count).items():
            if rows:
                _ROWS[view, state].inc(rows)


def _not_applied(what: object) -> RecommendError:
    return RecommendError(
        f"{what}: run `feast apply` on the feature repo, then `feast materialize-incremental`"
    )
