"""Sticky, weighted, independent between experiments."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from feature_repo.errors import RecommendError
from feature_repo.experiment import Experiment, Variant
from serving.assignment import assign

STARTS = datetime(2025, 8, 1, tzinfo=UTC)
ENDS = STARTS + timedelta(days=14)
UNITS = range(1 << 40, (1 << 40) + 20_000)


def experiment(name: str = "ranker", weights: tuple[float, ...] = (1, 2, 7)) -> Experiment:
    variants = tuple(Variant(f"v{n}", weight) for n, weight in enumerate(weights))
    return Experiment(name, variants, STARTS, ENDS)


@given(st.integers(0, 2**62), st.lists(st.floats(0.01, 100), min_size=2, max_size=6))
def test_a_unit_keeps_its_variant(unit: int, weights: list[float]) -> None:
    one, other = experiment(weights=tuple(weights)), experiment(weights=tuple(weights))
    assert assign(one, unit) == assign(other, unit)
    assert assign(one, unit) in one.variants


def test_shares_are_the_weights() -> None:
    found = [assign(experiment(), unit).name for unit in UNITS]
    counts = [found.count(name) for name in ("v0", "v1", "v2")]
    assert chisquare(counts, [len(UNITS) * share for share in (0.1, 0.2, 0.7)]).pvalue > 1e-4


def test_two_experiments_deal_independently() -> None:
    pairs = [(assign(experiment("one"), u).name, assign(experiment("two"), u).name) for u in UNITS]
    names = ("v0", "v1", "v2")
    table = [[pairs.count((a, b)) for b in names] for a in names]
    assert chi2_contingency(table).pvalue > 1e-4


def test_more_weight_for_one_moves_units_to_it_alone() -> None:
    before, after = experiment(weights=(1, 1)), experiment(weights=(1, 3))
    moved = [(assign(before, u).name, assign(after, u).name) for u in UNITS]
    assert ("v1", "v0") not in moved
    assert ("v0", "v1") in moved


def test_it_runs_from_its_start_and_not_at_its_end() -> None:
    instants = (STARTS - timedelta.resolution, STARTS, ENDS - timedelta.resolution, ENDS)
    assert [experiment().runs(i) for i in instants] == [False, True, True, False]


@pytest.mark.parametrize(
    ("variants", "starts", "said"),
    [
        ((Variant("a", 1),), STARTS, "two or more variants"),
        ((Variant("a", 1), Variant("a", 1)), STARTS, "different names"),
        ((Variant("a", 1), Variant("b", 0)), STARTS, "weight"),
        ((Variant("a", 1), Variant("b", float("inf"))), STARTS, "weight"),
        ((Variant("a", 1), Variant("b", 1)), ENDS, "before it starts"),
        ((Variant("a", 1), Variant("b", 1)), STARTS.replace(tzinfo=None), "time zone"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused(
    variants: tuple[Variant, ...], starts: datetime, said: str
) -> None:
    with pytest.raises(RecommendError, match=f"experiment x .*{said}"):
        Experiment("x", variants, starts, ENDS)
