"""What a caller may send along with a request: values that only the moment knows, typed by the declaration."""

import math
from dataclasses import dataclass
from typing import Literal

from feature_repo.errors import RecommendError

PREFIX = "context__"
"""Before a field's name in a filter or boost, where features are called ``view__feature``."""

ContextValue = float | int | bool | str


@dataclass(frozen=True)
class ContextField:
    """One value of the moment.

    Args:
        name: As sent in ``context``.
        type: ``number``, ``integer``, ``boolean``, or ``choice``: one of a few words.
        description: What it means, with its unit.
        low: The least number; none where there is no bound.
        high: The greatest.
        choices: The words of a ``choice``.
    """

    name: str
    type: Literal["number", "integer", "boolean", "choice"]
    description: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise RecommendError(f"context field {self.name!r}: a name has letters, digits and _ only")
        if (self.type == "choice") != bool(self.choices):
            raise RecommendError(
                f"context field {self.name}: a choice, and nothing else, has choices; it is a {self.type}"
            )

    @property
    def is_numeric(self) -> bool:
        """Whether a filter or boost may calculate with it; true counts as 1."""
        return self.type != "choice"

    def mend(self, value: ContextValue) -> str | None:
        """What to send instead of ``value``; None where it fits."""
        match self.type:
            case "boolean":
                return None if isinstance(value, bool) else "send true or false"
            case "choice":
                return None if value in self.choices else f"send one of {', '.join(self.choices)}"
        whole = self.type == "integer"
        if isinstance(value, bool | str) or (whole and not float(value).is_integer()):
            return f"send {'a whole number' if whole else 'a number'}"
        if not self.low <= value <= self.high:
            return f"send a number from {self.low:g} to {self.high:g}"
        return None
