"""Which state folder this process uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def state_folder(home: Path) -> Iterator[Path]:
    """Use ``home`` for a while; Feast's handle, which a process opens once, is opened again."""
    from training.features import feature_store  # Feast costs seconds, and most tests do without

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(home))
        feature_store.cache_clear()
        yield home
    feature_store.cache_clear()
