"""Brings the online store up to an instant from within a process, as ``feast materialize-incremental`` does."""

import io
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime

from feast import FeatureStore

from feature_repo.catalog import feast_repo


def materialize(as_of: datetime) -> None:
    """Store the latest rows dated ``as_of`` or before, of every view; nothing is printed.

    Raises:
        Exception: whatever Feast or the store raises; doing it again resumes.
    """
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        FeatureStore(repo_path=str(feast_repo())).materialize_incremental(as_of)
