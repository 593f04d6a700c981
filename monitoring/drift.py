"""Drift of features and predictions: what a model version is served, against what it was validated on.

Served rows are the top of each answer; the reference holds all candidates of the held-out queries. A top of
ten differs from the whole by construction, so like is compared with like: the reference carries the int
column ``position`` (rank of a row inside its query by the bundle's own score, 1 is the top; training writes
it), and is thinned until it has the same mix of positions as the served rows.

The distance is Wasserstein's, divided by the reference's standard deviation, as Evidently computes it. It is
an effect size, not a p-value: rows of one request share the query's features, so a test that takes them for
independent would raise an alarm on every large log. Features are compared on the scale ``sign(x)·log(1+|x|)``
because counts are heavy-tailed: on their own scale a tripled median would vanish beside one outlier.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from monitoring.served import ServedRows
from training.rankers.transform import compress

DISTANCE_THRESHOLD = 0.1
"""Standard deviations; Evidently's own default for this distance."""

MISSING_THRESHOLD = 0.1
"""Change in the share of missing values that counts as drift of a feature."""

DRIFTED_SHARE = 0.5
"""Share of drifted features from which the whole version counts as drifted; Evidently's default."""

MIN_REQUESTS = 100
"""Fewer requests, served or held out, hold too few different queries: the distance would be noise."""

MAX_ROWS = 20_000
"""Larger samples are drawn down to this, served and reference alike."""

PREDICTION = "score"
POSITION = "position"


@dataclass(frozen=True)
class ColumnDrift:
    """One column, served against reference.

    Args:
        name: The feature, or ``score``.
        distance: Normed Wasserstein distance over the values that are there; None where one side has none.
        missing_reference: Share of missing values in the reference, 0 to 1.
        missing_served: The same in the served rows.
    """

    name: str
    distance: float | None
    missing_reference: float
    missing_served: float

    @property
    def drifted(self) -> bool:
        """Whether the values moved, or came to be missing, or ceased to be."""
        moved = self.distance is not None and self.distance >= DISTANCE_THRESHOLD
        return moved or abs(self.missing_served - self.missing_reference) > MISSING_THRESHOLD


@dataclass(frozen=True)
class Drift:
    """The measured drift of one model version.

    Args:
        features: One entry per feature of the bundle, in its order.
        prediction: Of the score.
        reference_rows: Rows compared, after matching positions and sampling.
        served_rows: The same of the log.
    """

    features: tuple[ColumnDrift, ...]
    prediction: ColumnDrift
    reference_rows: int
    served_rows: int

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The features that drifted, the farthest first."""
        found = [f for f in self.features if f.drifted]
        return tuple(sorted(found, key=lambda f: -np.inf if f.distance is None else -f.distance))

    @property
    def share(self) -> float:
        """Share of features that drifted, 0 to 1."""
        return len(self.drifted) / len(self.features)

    @property
    def detected(self) -> bool:
        """Whether the version as a whole drifted."""
        return self.share >= DRIFTED_SHARE


@dataclass(frozen=True)
class Unmeasured:
    """Why there is no drift to show, in words for the page."""

    reason: str


@dataclass(frozen=True)
class Comparison:
    """Two samples with the same columns and the same mix of positions.

    Args:
        reference: float32 columns: the features, compressed, and ``score``.
        served: The same.
    """

    reference: pd.DataFrame
    served: pd.DataFrame

    @property
    def comparable(self) -> list[str]:
        """The columns with a value on both sides: only these have a distance."""
        present = self.reference.notna().any() & self.served.notna().any()
        return [str(name) for name in self.reference.columns[present]]


def comparison(reference: pa.Table, served: ServedRows, seed: int = 7) -> Comparison | Unmeasured:
    """Bring reference and served rows to the same columns, positions and size.

    Args:
        reference: The bundle's reference sample: the features, ``score``, ``position``.
        served: The log's sample for the same bundle.
        seed: Of the draws.
    """
    if POSITION not in reference.column_names:
        return Unmeasured(
            f"not comparable: the bundle's reference has no column {POSITION}, so its top cannot be told "
            "from the rest; train it again"
        )
    if served.requests < MIN_REQUESTS:
        return Unmeasured(
            f"not enough data: {served.requests} ranked requests of the {MIN_REQUESTS} that it takes"
        )
    positions = reference.column(POSITION).to_numpy().astype(np.int64)
    queries = int((positions == 1).sum())
    if queries < MIN_REQUESTS:
        return Unmeasured(
            f"not enough data: the reference holds {queries} queries of the {MIN_REQUESTS} that it takes"
        )
    rng = np.random.default_rng(seed)
    reference_rows, served_rows = match_positions(positions, served.positions, rng)
    if len(served_rows) == 0:
        return Unmeasured("not comparable: the reference holds no rows at the positions that were shown")
    features = reference.select(served.feature_names)
    matrix = np.column_stack([c.to_numpy().astype(np.float32) for c in features.columns])
    scores = reference.column(PREDICTION).to_numpy().astype(np.float32)
    return Comparison(
        _frame(matrix[reference_rows], scores[reference_rows], served.feature_names),
        _frame(served.features[served_rows], served.scores[served_rows], served.feature_names),
    )


def match_positions(
    reference: NDArray[np.int64], served: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose reference rows so that their positions have the same shares as those of the served rows.

    Args:
        reference: Positions, int64, shape ``[n]``, 1 is the top.
        served: Positions, int64, shape ``[m]``.
        rng: Draws without replacement inside a position.

    Returns:
        Indices into ``reference`` and into ``served``, ascending. Served rows are left out only where the
        reference is so thin at their position that it would have to shrink below `MIN_REQUESTS` rows.
    """
    depth = int(max(reference.max(initial=0), served.max(initial=0))) + 1
    available = np.bincount(reference, minlength=depth)
    wanted = np.bincount(served, minlength=depth)
    wanted = np.where(available * wanted.sum() >= wanted * MIN_REQUESTS, wanted, 0)
    shown = wanted > 0
    scale = min((available[shown] / wanted[shown]).min(initial=np.inf), MAX_ROWS / max(wanted.sum(), 1))
    quota = np.floor(wanted * scale).astype(np.int64)
    drawn = [
        rng.choice(np.flatnonzero(reference == p), quota[p], replace=False) for p in np.flatnonzero(shown)
    ]
    chosen = np.sort(np.concatenate([np.empty(0, np.int64), *drawn]))
    return chosen, np.flatnonzero(shown[served])


def drift_of(compared: Comparison, distances: Mapping[str, float]) -> Drift:
    """Put the measured distances (by column name) beside the shares of missing values."""
    missing_reference = compared.reference.isna().mean()
    missing_served = compared.served.isna().mean()
    columns = [
        ColumnDrift(name, distances.get(name), float(missing_reference[name]), float(missing_served[name]))
        for name in compared.reference.columns
    ]
    return Drift(tuple(columns[:-1]), columns[-1], len(compared.reference), len(compared.served))


def _frame(
    features: NDArray[np.float32], scores: NDArray[np.float32], names: tuple[str, ...]
) -> pd.DataFrame:
    # compress() takes a missing value for 0, as the linear rankers do; here missing stays missing.
    compressed = np.where(np.isnan(features), np.float32(np.nan), compress(features))
    return pd.DataFrame(np.column_stack([compressed, scores]), columns=[*names, PREDICTION])
