"""How much an item that was just shown, and is shown again, loses. Domain-free."""

from dataclasses import dataclass
from datetime import timedelta

from feature_repo.errors import RecommendError


@dataclass(frozen=True)
class Discount:
    """An item's score falls with each impression of it to the same query entity, and recovers with time.

    Args:
        strength: What an impression of just now takes off, in standard deviations of the answer's scores.
        half_life: After how long an impression counts half.
    """

    strength: float = 0.5
    half_life: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        if not self.strength > 0:
            raise RecommendError(
                f"a discount's strength is above 0, not {self.strength}: leave it out for none"
            )
        if not self.half_life > timedelta(0):
            raise RecommendError(f"a discount's half-life is above 0, not {self.half_life}")
