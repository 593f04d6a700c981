"""Imports without typeguard's checks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typeguard


@contextmanager
def unchecked() -> Iterator[None]:
    """Leave out typeguard's checks in what the block imports.

    Feast has them compiled into its classes at every import, which takes more than half of its time. They are "not meant
    to be run in production" (typeguard's manual), where ``python -O`` would leave them out, with our own assertions.
    What is declared was checked by ``feast apply``.
    """
    typechecked = typeguard.typechecked
    typeguard.typechecked = _unchanged
    try:
        yield
    finally:
        typeguard.typechecked = typechecked


def _unchanged(target: Any = None, **settings: Any) -> Any:
    """In place of the decorator, with or without settings."""
    return _unchanged if target is None else target
