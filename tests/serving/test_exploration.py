"""Propensities against simulation, against enumeration, and against the budget."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feature_repo.errors import RecommendError
from feature_repo.exploration import EpsilonSwap, Exploration, GumbelTopK
from serving.exploration import draw, plackett_luce

SCORES = np.array([3.0, 2.5, 2.4, 1.0, 0.9, 0.2, -1.0], np.float32)
POLICIES = [
    EpsilonSwap(epsilon=0.6, pool=3, regret_budget=1.0),
    EpsilonSwap(epsilon=0.6, pool=9, regret_budget=0.05),
    GumbelTopK(temperature=0.7, pool=5, regret_budget=1.0),
    GumbelTopK(temperature=2.0, pool=20, regret_budget=0.1),
]


@given(arrays(np.float64, st.integers(1, 6), elements=st.floats(-6, 6)))
@settings(max_examples=40, deadline=None)
def test_plackett_luce_is_the_sum_over_all_orders(logits: np.ndarray) -> None:
    weights = np.exp(logits)
    expected = np.zeros((len(logits), len(logits)))
    for order in permutations(range(len(logits))):
        left = [weights[list(order[n:])].sum() for n in range(len(order))]
        probability = np.prod([weights[item] / rest for item, rest in zip(order, left, strict=True)])
        expected[list(order), range(len(order))] += probability
    items, ranks = (grid.ravel() for grid in np.indices(expected.shape))
    found = plackett_luce(logits, items, ranks)
    np.testing.assert_allclose(found, expected.ravel(), atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_logged_propensities_are_the_frequencies_of_many_draws(policy: Exploration) -> None:
    shown, draws = 3, 10_000
    seen, logged = np.zeros((len(SCORES), shown)), np.full((len(SCORES), shown), np.nan)
    random = np.random.default_rng(5)
    for _ in range(draws):
        answer = draw(policy, SCORES, shown, random)
        assert len(set(answer.positions.tolist())) == shown
        seen[answer.positions, range(shown)] += 1
        logged[answer.positions, range(shown)] = answer.propensities
    possible = ~np.isnan(logged)
    frequencies, claimed = seen[possible] / draws, logged[possible]
    # Five standard errors of a frequency: one false alarm in a million cells.
    assert (np.abs(frequencies - claimed) <= 5 * np.sqrt(claimed * (1 - claimed) / draws) + 1e-9).all()
    np.testing.assert_allclose(np.nansum(logged, axis=0), 1, atol=2e-3)


@given(
    st.sampled_from(POLICIES),
    arrays(np.float32, st.integers(0, 30), elements=st.floats(-50, 50, width=32)),
    st.integers(0, 12),
    st.integers(0, 2**31),
)
@settings(max_examples=200, deadline=None)
def test_an_answer_is_whole_and_drawn_again_from_its_seed(
    policy: Exploration, scores: np.ndarray, shown: int, seed: int
) -> None:
    ranked = np.sort(scores)[::-1]
    first, again = (draw(policy, ranked, shown, np.random.default_rng(seed)) for _ in range(2))
    assert first.positions.tolist() == again.positions.tolist()
    assert first.propensities.tolist() == again.propensities.tolist()
    assert len(first.positions) == min(shown, len(ranked)) == len(set(first.positions.tolist()))
    assert ((first.propensities > 0) & (first.propensities <= 1)).all()
    assert first.explored == (first.positions.tolist() != list(range(len(first.positions))))


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_the_displaced_share_of_the_discount_keeps_the_budget(policy: Exploration) -> None:
    shown, discounts = 3, 1 / np.log2([2, 3, 4])
    random = np.random.default_rng(9)
    answers = [draw(policy, SCORES, shown, random).positions for _ in range(5_000)]
    displaced = np.mean([(answer != range(shown)) @ discounts for answer in answers]) / discounts.sum()
    assert displaced <= policy.regret_budget + 0.02
    assert displaced > 0


def test_without_a_policy_the_best_are_shown_for_certain() -> None:
    answer = draw(None, SCORES, 3, np.random.default_rng(1))
    assert (answer.positions.tolist(), answer.propensities.tolist(), answer.explored) == (
        [0, 1, 2],
        [1] * 3,
        False,
    )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: EpsilonSwap(epsilon=1.5), "epsilon"),
        (lambda: EpsilonSwap(pool=0), "pool"),
        (lambda: GumbelTopK(temperature=0), "temperature"),
        (lambda: GumbelTopK(regret_budget=-1), "budget"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(made: object, said: str) -> None:
    with pytest.raises(RecommendError, match=said):
        made()  # type: ignore[operator]
