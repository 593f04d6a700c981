"""The same visits under several versions in turn, with the online store as fresh as it would have been then.

A crossover trial (Jones & Kenward 2014): each version answers every visit, so that the difference between two is
paired. It is played period by period, because an online store does not go back in time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from feature_repo.errors import RecommendError
from feature_repo.recommender import Recommender
from serving.replay import Replay, Visit, connected, joined, replay
from training.champion import promote

SWAP_SECONDS = 30
"""How long a service may take to take up a promotion."""

Versions = Mapping[str, str]
"""By recommender: what `training.champion.promote` takes."""


def crossover(
    made: Sequence[tuple[Recommender, Sequence[Visit]]],
    rounds: Sequence[Versions],
    periods: Sequence[datetime],
    url: str,
    begin: Callable[[datetime], None],
    advance: Callable[[], None] = lambda: None,
) -> list[list[Replay]]:
    """Play every visit once a round against the live service.

    Args:
        made: The recommenders, each with its visits in order of time.
        rounds: What to promote for each round; an empty mapping leaves what serves.
        periods: The instants at which periods begin, ascending; earlier visits belong to the first.
        url: Of the service.
        begin: Called as each period begins, before anyone visits.
        advance: Called after each visit.

    Returns:
        For each round, a replay of each recommender, in the order of ``made``.

    Raises:
        RecommendError: no service there, or it refused a request or does not take up a promotion.
    """
    played: list[list[list[Replay]]] = [[[] for _ in made] for _ in rounds]
    for n, period in enumerate(periods):
        begin(period)
        end = periods[n + 1] if n + 1 < len(periods) else None
        for round_, versions in zip(played, rounds, strict=True):
            for (recommender, visits), parts in zip(made, round_, strict=True):
                due = [v for v in visits if (n == 0 or period <= v.at) and (end is None or v.at < end)]
                if not due:
                    continue
                if recommender.name in versions:
                    _await_version(
                        url, recommender.name, promote(recommender.name, versions[recommender.name]).version
                    )
                parts.append(replay(recommender, due, url, advance))
    return [[joined(parts) for parts in round_] for round_ in played]


def _await_version(url: str, name: str, version: str) -> None:
    end = time.monotonic() + SWAP_SECONDS
    with connected(url) as client:
        while time.monotonic() < end:
            known = client.recommenders().recommenders
            if any(r.name == name and r.model_version == version for r in known):
                return
            time.sleep(0.1)
    raise RecommendError(
        f"the service at {url} has not taken up {name} {version} in {SWAP_SECONDS} s: see its log, and whether its "
        "RECOMMEND_HOME is this one"
    )
