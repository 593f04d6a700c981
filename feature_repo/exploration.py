"""How a recommender explores: which items are shown now and then that its ranker would not have shown. Domain-free.

An answer that is always the ranker's own teaches nothing about the items that it leaves out. A policy draws the
answer, and its propensities make the log fit for off-policy evaluation. `serving.exploration` draws.
"""

from dataclasses import dataclass

from feature_repo.errors import RecommendError


@dataclass(frozen=True)
class EpsilonSwap:
    """In a share of the answers, one shown item gives way to one of the next best.

    Args:
        epsilon: The share of answers, from 0 to 1.
        pool: From how many of the items after the shown ones the other is drawn, evenly.
        regret_budget: The expected share of the list's discount (1 / log2(1 + position), as in DCG) that goes to
            another item than the ranker's own, at most; epsilon is lowered to keep it.
    """

    epsilon: float = 0.1
    pool: int = 20
    regret_budget: float = 0.02

    def __post_init__(self) -> None:
        _check(self.pool, self.regret_budget)
        if not 0 <= self.epsilon <= 1:
            raise RecommendError(f"an exploration's epsilon is a share: {self.epsilon} is not from 0 to 1")


@dataclass(frozen=True)
class GumbelTopK:
    """A share of the answers is drawn from the Plackett-Luce model of the scores.

    Gumbel noise of a temperature is added to the scores and the order is taken anew (Kool et al. 2019, *Stochastic
    beams and where to find them*). How large the share is follows from the budget.

    Args:
        temperature: In units of the pool's standard deviation of scores; more is more even.
        pool: How many of the best items may be shown.
        regret_budget: As in `EpsilonSwap`.
    """

    temperature: float = 0.5
    pool: int = 20
    regret_budget: float = 0.02

    def __post_init__(self) -> None:
        _check(self.pool, self.regret_budget)
        if not self.temperature > 0:
            raise RecommendError(f"an exploration's temperature is above 0, not {self.temperature}")


Exploration = EpsilonSwap | GumbelTopK


def _check(pool: int, regret_budget: float) -> None:
    if not 1 <= pool <= 100:
        raise RecommendError(f"an exploration's pool has 1 to 100 items, not {pool}")
    if not 0 <= regret_budget <= 1:
        raise RecommendError(f"an exploration's regret budget is a share: {regret_budget} is not from 0 to 1")
