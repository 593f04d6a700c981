"""Drawing an answer from a declared policy, with the exact propensity of every shown item at its position."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from feature_repo.exploration import EpsilonSwap, Exploration, GumbelTopK

Positions = NDArray[np.intp]
Propensities = NDArray[np.float64]

# In log time the integrand of `plackett_luce` falls off doubly exponentially to the right and exponentially to the
# left, so the trapezoid rule converges exponentially (Trefethen & Weideman 2014): this step is good to 1e-10.
_STEP = 0.4
_LOG_TIMES = np.arange(-18.0, 20.0, _STEP)
_LEAST = -12.0
"""Log weights are not less, so that even the last item arrives within `_LOG_TIMES`."""


@dataclass(frozen=True)
class Drawn:
    """An answer.

    Args:
        positions: Which of the ranked items are shown, in order; ``[shown]``.
        propensities: The probability, over all answers that the policy could have drawn, that this very item
            stands at this very position; ``[shown]``, all above 0.
        explored: Whether the answer differs from the ranker's own.
    """

    positions: Positions
    propensities: Propensities
    explored: bool


def draw(
    policy: Exploration | None, scores: NDArray[np.float32], shown: int, random: np.random.Generator
) -> Drawn:
    """Draw the answer to one request.

    Args:
        policy: As declared; none shows the best.
        scores: Of the ranked items, descending.
        shown: How many are wanted at most.
        random: Seeded by the request, so that the answer can be drawn again.
    """
    shown = min(shown, len(scores))
    match policy:
        case EpsilonSwap() if shown and len(scores) > shown:
            return _epsilon_swap(policy, len(scores), shown, random)
        case GumbelTopK() if shown and len(scores) > 1:
            return _gumbel_top_k(policy, scores, shown, random)
    return Drawn(np.arange(shown), np.ones(shown), explored=False)


def _epsilon_swap(policy: EpsilonSwap, ranked: int, shown: int, random: np.random.Generator) -> Drawn:
    pool = min(policy.pool, ranked - shown)
    # Each position gives way equally often: the share of the discount that is displaced is epsilon / shown.
    epsilon = min(policy.epsilon, policy.regret_budget * shown)
    positions, propensities = np.arange(shown), np.full(shown, 1 - epsilon / shown)
    if random.random() >= epsilon:
        return Drawn(positions, propensities, explored=False)
    gives_way = int(random.integers(shown))
    positions[gives_way] = shown + int(random.integers(pool))
    propensities[gives_way] = epsilon / (shown * pool)
    return Drawn(positions, propensities, explored=True)


def _gumbel_top_k(
    policy: GumbelTopK, scores: NDArray[np.float32], shown: int, random: np.random.Generator
) -> Drawn:
    pool = min(max(policy.pool, shown), len(scores))
    considered = scores[:pool].astype(np.float64)
    spread = float(considered.std()) * policy.temperature
    logits = np.maximum((considered - considered[0]) / spread, _LEAST) if spread > 0 else np.zeros(pool)
    own = np.arange(shown)
    # The draw is a mixture: the ranker's own answer, or one from the model, as often as the budget allows.
    kept = plackett_luce(logits, own, own)
    displaced = 1 - float(_discounts(shown) @ kept)
    share = min(1.0, policy.regret_budget / displaced) if displaced > 0 else 0.0
    if random.random() >= share:
        return Drawn(own, 1 - share + share * kept, explored=False)
    positions = np.argsort(-(logits + random.gumbel(size=pool)), kind="stable")[:shown]
    drawn = plackett_luce(logits, positions, own)
    same = positions == own
    return Drawn(positions, share * drawn + (1 - share) * same, explored=not bool(same.all()))


def plackett_luce(logits: NDArray[np.float64], items: Positions, ranks: Positions) -> Propensities:
    """The probability that ``items[n]`` comes at ``ranks[n]`` (from 0) in an order drawn from the Plackett-Luce model.

    An item with weight w arrives after an exponential time of rate w, and the order of arrival is the order drawn;
    so the probability is an integral over its time of arrival, with the number of others before it Poisson-binomial.

    Args:
        logits: Log weights, ``[pool]``, within `_LEAST` of their greatest.
        items: ``[n]``.
        ranks: ``[n]``.
    """
    rates = np.exp(logits - logits.max())
    rates /= rates.sum()
    times = np.exp(_LOG_TIMES)
    arrived = -np.expm1(-np.outer(rates, times))  # [pool, times]
    most = int(ranks.max()) + 1 if len(ranks) else 0
    before = np.zeros((most, len(items), len(times)))  # how many of the others have arrived
    if most:
        before[0] = 1
    for other in range(len(rates)):
        p = np.where((items == other)[:, None], 0.0, arrived[other])
        before[1:] = before[1:] * (1 - p) + before[:-1] * p
        before[:1] *= 1 - p
    rate = rates[items][:, None]
    density = rate * times * np.exp(-rate * times)
    found: Propensities = (density * before[ranks, np.arange(len(items))]).sum(axis=1)
    capped: Propensities = np.minimum(found * _STEP, 1.0)
    return capped


@lru_cache(maxsize=128)
def _discounts(shown: int) -> NDArray[np.float64]:
    """DCG's discounts of the positions, scaled to the sum 1."""
    discounts: NDArray[np.float64] = 1 / np.log2(2 + np.arange(shown))
    discounts /= discounts.sum()
    return discounts
