"""Candidates are merged from their sources as a reader of the declaration would do it by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.recommender import CandidateSource
from serving.retrieval import merge

COLUMNS = ("first", "second", "third")
IDS = st.lists(st.integers(1, 12), max_size=10)


@given(st.tuples(IDS, IDS, IDS), st.tuples(*[st.integers(0, 6)] * 3))
def test_merge_agrees_with_the_definition(lists: tuple[list[int], ...], quotas: tuple[int, ...]) -> None:
    sources = [CandidateSource(c, q) for c, q in zip(COLUMNS, quotas, strict=True)]
    merged = merge({c: np.array(ids, np.int64) for c, ids in zip(COLUMNS, lists, strict=True)}, sources)

    cut = {c: ids[:q] for c, ids, q in zip(COLUMNS, lists, quotas, strict=True)}
    in_order = [i for c in COLUMNS for i in cut[c]]
    assert merged.ids.dtype == np.int64
    assert merged.ids.tolist() == sorted(set(in_order), key=in_order.index)
    assert merged.sources == tuple(tuple(c for c in COLUMNS if i in cut[c]) for i in merged.ids.tolist())
