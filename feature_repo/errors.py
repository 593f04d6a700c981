"""The one error that a person is meant to read."""


class RecommendError(Exception):
    """Something a user can mend. The text says what was wrong, where, and what to do, in one line."""
