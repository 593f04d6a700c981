"""Merging candidate lists: the one rule by which training and serving turn sources into candidates."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from feature_repo.recommender import CandidateSource


def merge(
    lists: Mapping[str, NDArray[np.int64] | None], sources: Sequence[CandidateSource]
) -> dict[int, tuple[str, ...]]:
    """Candidates in order of first mention, each with the sources that named it.

    Args:
        lists: Candidate ids by source column, best first; None where there is no value.
        sources: The sources to take, in order of trust; each list is cut to its quota.
    """
    found: dict[int, tuple[str, ...]] = {}
    for source in sources:
        listed = lists[source.column]
        for candidate in dict.fromkeys(() if listed is None else listed[: source.quota].tolist()):
            found[candidate] = (*found.get(candidate, ()), source.column)
    return found
