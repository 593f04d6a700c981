"""The bootstrap dataset: cut-offs, queries, candidates as of then, features as of then, labels from after."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from feature_repo.candidates import merge
from feature_repo.clock import midnight
from feature_repo.errors import RecommendError
from feature_repo.identity import WORKSPACE_SHIFT
from feature_repo.recommender import EVENT_TIMESTAMP, Recommender
from feature_repo.tables import snapshot_days
from training.features import candidate_lists, feature_matrix, popular_lists
from training.labels import positives
from training.rankers import Matrix

VALIDATION_SHARE = 0.2
"""Of the training queries' users. They differ from the others in no other way, and no user is in both."""

SPACING = timedelta(days=7)
"""Between cut-offs. Closer ones ask nearly the same queries again."""

NEGATIVES_A_QUERY = 60
"""A training query keeps so many of its negatives, drawn uniformly; validation and test keep all."""


NOT_POPULAR = -1e6
"""The popularity of a candidate that is not in the popular list: below every place in it."""


@dataclass(frozen=True)
class Dataset:
    """Rows of ``(query, cut-off, candidate)``, sorted so that a query's candidates are contiguous.

    Args:
        feature_names: Columns of ``features``.
        features: ``[n, features]`` float32.
        labels: ``[n]`` int8, 1 where the outcome came within the window.
        query_ids: ``[n]`` int64.
        candidate_ids: ``[n]`` int64.
        cutoffs: ``[n]`` datetime64[us], UTC.
        popularity: ``[n]`` float32, minus the place in the popular list as of the cut-off.
        positives: ``[groups]`` int64, positives of each query, those that no source found included.
    """

    feature_names: tuple[str, ...]
    features: Matrix
    labels: NDArray[np.int8]
    query_ids: NDArray[np.int64]
    candidate_ids: NDArray[np.int64]
    cutoffs: NDArray[np.datetime64]
    popularity: NDArray[np.float32]
    positives: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Row at which each query's candidates begin; ``[groups]``."""
        new = (np.diff(self.query_ids) != 0) | (np.diff(self.cutoffs).astype(np.int64) != 0)
        return np.flatnonzero(np.concatenate([[True], new])[: len(self.labels)])

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """Candidates of each query; ``[groups]``."""
        return np.diff(np.append(self.starts, len(self.labels)))

    def rows(self, chosen: NDArray[np.bool_]) -> "Dataset":
        """The chosen rows; a query keeps its count of positives."""
        group = np.repeat(np.arange(len(self.positives)), self.group_sizes)
        return Dataset(
            self.feature_names,
            np.ascontiguousarray(self.features[chosen]),
            self.labels[chosen],
            self.query_ids[chosen],
            self.candidate_ids[chosen],
            self.cutoffs[chosen],
            self.popularity[chosen],
            self.positives[np.unique(group[chosen])],
        )


@dataclass(frozen=True)
class Split:
    """Cut-offs before and after a gap of one label window, so that no training label reaches into the test."""

    train: tuple[datetime, ...]
    test: tuple[datetime, ...]


@dataclass(frozen=True)
class Datasets:
    """What a training run learns from, stops early on, and is judged by."""

    train: Dataset
    validation: Dataset
    test: Dataset


def split_cutoffs(recommender: Recommender, as_of: datetime, train_cutoffs: int, test_cutoffs: int) -> Split:
    """Cut-offs are snapshots whose label window has ended by ``as_of``, `SPACING` apart; the last are the test.

    Raises:
        RecommendError: no snapshots, or too few.
    """
    table, window = recommender.candidates.name, recommender.outcome.window
    known = [midnight(day) for day in snapshot_days(table) if midnight(day) + window <= as_of]
    if not known:
        raise RecommendError(
            f"table {table} has no snapshot that is at least {window.days} days older than {as_of:%Y-%m-%d}: "
            f"run `recommend tables --as-of {as_of:%Y-%m-%d}` first, with an earlier --since if need be"
        )
    known = _spaced(known)
    test = known[-test_cutoffs:]
    train = [c for c in known if c + window <= test[0]]
    if not train:
        raise RecommendError(
            f"no snapshot of {table} lies {window.days} days before the first test cut-off {test[0]:%Y-%m-%d}: "
            "build older ones with `recommend tables --since`, or use fewer --test-cutoffs"
        )
    return Split(tuple(train[-train_cutoffs:]), tuple(test))


def _spaced(instants: Sequence[datetime]) -> list[datetime]:
    """From the last one backwards, so many that neighbours are at least `SPACING` apart."""
    kept: list[datetime] = []
    for instant in reversed(instants):
        if not kept or kept[-1] - instant >= SPACING:
            kept.append(instant)
    return kept[::-1]


def build(recommender: Recommender, split: Split, as_of: datetime, seed: int) -> Datasets:
    """Join everything as of the cut-offs and cut it into train, validation and test.

    Raises:
        RecommendError: too few users acted for a ranker to learn anything, or what `assemble` raises.
    """
    test = assemble(recommender, split.test, as_of)
    learning = assemble(recommender, split.train, as_of, keep=_Sampler(seed))
    held = _is_validation(learning.query_ids, seed)
    datasets = Datasets(learning.rows(~held), learning.rows(held), test)
    for part, data in (("training", datasets.train), ("validation", datasets.validation)):
        if not 0 < data.labels.sum() < len(data.labels):
            raise RecommendError(
                f"the {part} users of {recommender.name} have {data.labels.sum()} positives among "
                f"{len(data.labels)} candidates, and rankers need both kinds: ingest more history, "
                "or build older snapshots with `recommend tables --since`"
            )
    return datasets


@dataclass(frozen=True)
class _Sampler:
    seed: int

    def __call__(self, query_ids: NDArray[np.int64], labels: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Positives, all rows of validation users, and up to `NEGATIVES_A_QUERY` negatives of each query.

        ``query_ids`` number the queries here, one after the other.
        """
        draws = np.random.default_rng(self.seed).random(len(labels))
        draws[labels == 1] = -1.0
        order = np.lexsort((draws, query_ids))
        place = np.empty(len(labels), np.int64)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(query_ids[order])) + 1])
        place[order] = np.arange(len(labels)) - np.repeat(starts, np.diff(np.append(starts, len(labels))))
        found = np.bincount(query_ids, labels)[query_ids]
        kept: NDArray[np.bool_] = place < found + NEGATIVES_A_QUERY
        return kept


def assemble(
    recommender: Recommender, cutoffs: Sequence[datetime], as_of: datetime, keep: _Sampler | None = None
) -> Dataset:
    """The rows of some cut-offs: every query with a positive, its candidates as of then, features, labels.

    A query without a positive teaches and tests no ranking, and is left out; one without candidates would be
    served the popular list, and is left out too.

    Raises:
        RecommendError: nobody did anything in the windows, or nobody had candidates.
    """
    query, candidate = recommender.query_key, recommender.candidate_key
    acts = positives(recommender, cutoffs, as_of)
    if len(acts) == 0:
        raise RecommendError(
            f"no {recommender.outcome.name} within {recommender.outcome.window.days} days of "
            f"{', '.join(f'{c:%Y-%m-%d}' for c in cutoffs)}: nothing to learn from"
        )
    spine = acts.to_pandas().rename(columns={"cutoff": EVENT_TIMESTAMP})
    queries = spine.groupby([EVENT_TIMESTAMP, query], as_index=False).size()
    pairs = _candidates(recommender, queries)
    if pairs.empty:
        raise RecommendError(
            f"nobody has candidates in {recommender.candidates.name} at the cut-offs: "
            "rebuild the tables with `recommend tables --rebuild`"
        )
    labels = _labels(pairs, spine, [query, candidate, EVENT_TIMESTAMP])
    if keep is not None:
        validation = _is_validation(pairs[query].to_numpy(), keep.seed)
        kept = keep(pairs["query_number"].to_numpy(), labels) | validation
        pairs, labels = pairs[kept].reset_index(drop=True), labels[kept]
    features = feature_matrix(recommender, pairs[[query, candidate, EVENT_TIMESTAMP]])
    return Dataset(
        feature_names=recommender.feature_names,
        features=features,
        labels=labels,
        query_ids=pairs[query].to_numpy(np.int64),
        candidate_ids=pairs[candidate].to_numpy(np.int64),
        cutoffs=pairs[EVENT_TIMESTAMP].dt.tz_localize(None).to_numpy("datetime64[us]"),
        popularity=_popularity(recommender, pairs),
        positives=queries["size"].to_numpy(np.int64)[pairs["query_number"].unique()],
    )


def _candidates(recommender: Recommender, queries: pd.DataFrame) -> pd.DataFrame:
    query, candidate = recommender.query_key, recommender.candidate_key
    listed = candidate_lists(recommender, queries[[query, EVENT_TIMESTAMP]])
    columns = [s.column for s in recommender.sources]
    merged = [
        merge(dict(zip(columns, row, strict=True)), recommender.sources)[0]
        for row in listed[columns].itertuples(index=False, name=None)
    ]
    sizes = np.fromiter(map(len, merged), np.int64, len(merged))
    numbers = np.repeat(np.arange(len(queries)), sizes)
    flat = np.concatenate(merged) if merged else np.zeros(0, np.int64)
    pairs = queries[[query, EVENT_TIMESTAMP]].iloc[numbers].reset_index(drop=True)
    return pairs.assign(**{candidate: flat, "query_number": numbers})


def _labels(pairs: pd.DataFrame, acts: pd.DataFrame, keys: list[str]) -> NDArray[np.int8]:
    found = pairs[keys].merge(acts[keys].assign(label=1), on=keys, how="left")
    return found["label"].fillna(0).to_numpy(np.int8)


def _popularity(recommender: Recommender, pairs: pd.DataFrame) -> NDArray[np.float32]:
    spine = pd.DataFrame(
        {
            "workspace_id": pairs[recommender.query_key].to_numpy(np.int64) >> WORKSPACE_SHIFT,
            EVENT_TIMESTAMP: pairs[EVENT_TIMESTAMP],
        }
    )
    unique = spine.drop_duplicates(ignore_index=True)
    lists = popular_lists(recommender, unique)[recommender.popular_column]
    ranked = unique.assign(**{recommender.candidate_key: lists}).explode(recommender.candidate_key).dropna()
    keys = ["workspace_id", EVENT_TIMESTAMP, recommender.candidate_key]
    ranked = ranked.assign(popularity=-ranked.groupby(keys[:2]).cumcount() - 1.0).astype({keys[2]: np.int64})
    spine[recommender.candidate_key] = pairs[recommender.candidate_key]
    return spine.merge(ranked, on=keys, how="left")["popularity"].fillna(NOT_POPULAR).to_numpy(np.float32)


def _is_validation(query_ids: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """By a hash of the user, so that the same user is always on the same side."""
    mixed = (query_ids.astype(np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    share: NDArray[np.bool_] = (mixed >> np.uint64(40)) < np.uint64(VALIDATION_SHARE * (1 << 24))
    return share


def to_arrow(data: Dataset, columns: dict[str, NDArray[np.float32]]) -> pa.Table:
    """Feature columns and further ones, as the drift reference keeps them."""
    features = {n: data.features[:, i] for i, n in enumerate(data.feature_names)}
    return pa.table(features | columns | {"label": data.labels})
