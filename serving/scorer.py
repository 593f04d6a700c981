"""What ranks a recommender's candidates at this moment, and under which name."""

from dataclasses import dataclass, field
from datetime import datetime

from feature_repo.experiment import DECLARED
from feature_repo.recommender import Recommender
from serving.pace import Pace
from training.bundle import Bundle
from training.rankers import Ranker
from training.rankers.heuristic import HeuristicRanker


@dataclass(frozen=True)
class Scorer:
    """A ranker with what the answer and the log say about it.

    Args:
        ranker: Scores a matrix in the order of ``Recommender.feature_names``.
        model_version: The bundle's version in the model store, or ``DECLARED``.
        since: When it was promoted; None for the declared heuristic.
        stands_in: The code of why it serves in another's place; none where it does not.
        pace: How long it took lately.
    """

    ranker: Ranker
    model_version: str
    since: datetime | None
    stands_in: str | None = None
    pace: Pace = field(default_factory=Pace, compare=False)

    @property
    def rung(self) -> str:
        """The ranker's name on the ladder."""
        return self.ranker.name


def declared_heuristic(recommender: Recommender) -> Scorer:
    """The ranker of day one, before anything is promoted."""
    return Scorer(HeuristicRanker(recommender.heuristic, recommender.feature_names), DECLARED, None)


def promoted(bundle: Bundle, since: datetime | None) -> Scorer:
    """The ranker of a bundle."""
    return Scorer(bundle.ranker, bundle.card.version, since)
