"""How long something took lately: whether there is time for it once more."""

_RECENT, _FADE = 0.2, 0.9


class Pace:
    """An exponentially weighted mean of durations. Where it is passed over, what is known of it fades, so that it is
    tried again. Written by one thread."""

    def __init__(self) -> None:
        self.expected = 0.0
        """Seconds; 0 before it was ever measured."""

    def took(self, seconds: float) -> None:
        """It was done."""
        self.expected += (seconds - self.expected) * (_RECENT if self.expected else 1.0)

    def passed_over(self) -> None:
        """There was no time for it."""
        self.expected *= _FADE
