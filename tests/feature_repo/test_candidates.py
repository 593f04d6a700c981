"""Candidates are merged from their sources as a reader of the declaration would do it by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.candidates import merge
from feature_repo.recommender import CandidateSource

COLUMNS = ("first", "second", "third")
IDS = st.none() | st.lists(st.integers(1, 12), max_size=10)


@given(st.tuples(IDS, IDS, IDS), st.tuples(*[st.integers(0, 6)] * 3))
def test_merge_agrees_with_the_definition(
    lists: tuple[list[int] | None, ...], quotas: tuple[int, ...]
) -> None:
    sources = [CandidateSource(c, q) for c, q in zip(COLUMNS, quotas, strict=True)]
    arrays = {
        c: None if ids is None else np.array(ids, np.int64) for c, ids in zip(COLUMNS, lists, strict=True)
    }
    merged, named = merge(arrays, sources)

    cut = {c: (ids or [])[:q] for c, ids, q in zip(COLUMNS, lists, quotas, strict=True)}
    in_order = [i for c in COLUMNS for i in cut[c]]
    assert merged.tolist() == sorted(set(in_order), key=in_order.index)
    for candidate, bits in zip(merged.tolist(), named.tolist(), strict=True):
        assert [c for k, c in enumerate(COLUMNS) if bits >> k & 1] == [
            c for c in COLUMNS if candidate in cut[c]
        ]
