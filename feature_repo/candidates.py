"""Merging candidate lists: the one rule by which training and serving turn sources into candidates."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from feature_repo.recommender import CandidateSource

_NONE = np.zeros(0, np.int64)


def merge(
    lists: Mapping[str, NDArray[np.int64] | None], sources: Sequence[CandidateSource]
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Candidates in order of first mention, and which sources named each.

    Args:
        lists: Candidate ids by source column, best first; None where there is no value.
        sources: The sources to take, in order of trust, at most 63; each list is cut to its quota.

    Returns:
        Ids, int64 ``[candidates]``; and uint64 ``[candidates]``, in which bit k belongs to ``sources[k]``.
    """
    return union(cut(lists, sources))


def cut(
    lists: Mapping[str, NDArray[np.int64] | None], sources: Sequence[CandidateSource]
) -> list[NDArray[np.int64]]:
    """The list of each source, cut to its quota; empty where there is no value."""
    given = [(lists[source.column], source.quota) for source in sources]
    return [_NONE if listed is None else np.asarray(listed[:quota], np.int64) for listed, quota in given]


def union(lists: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The ids of all lists in order of first mention, and in which lists each is: bit k belongs to ``lists[k]``."""
    ids, first, places = np.unique(np.concatenate([_NONE, *lists]), return_index=True, return_inverse=True)
    named, begin = np.zeros(len(ids), np.uint64), 0
    for number, listed in enumerate(lists):
        named[places[begin : begin + len(listed)]] |= np.uint64(1 << number)
        begin += len(listed)
    order = np.argsort(first)
    return ids[order], named[order]
