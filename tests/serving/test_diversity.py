"""Against the definitions, by brute force."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serving.diversity import capped, maximal_marginal_relevance

items = st.integers(0, 8)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths else 0.0


@given(st.data(), items, st.sampled_from([0.2, 0.5, 0.9, 1.0]), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_each_next_item_is_the_best_trade(
    data: st.DataObject, count: int, weight: float, wanted: int
) -> None:
    whole = st.integers(-4, 4).map(float)
    scores = data.draw(arrays(np.float32, count, elements=whole))
    vectors = data.draw(arrays(np.float32, (count, 3), elements=whole))
    order = maximal_marginal_relevance(scores, vectors, weight, wanted).tolist()
    assert len(order) == len(set(order)) == min(wanted, count)
    spread = (scores.max() - scores.min() if count else 0) or 1
    for n, item in enumerate(order):
        before = order[:n]

        def worth(i: int, before: list[int] = before) -> float:
            likeness = max((cosine(vectors[i], vectors[b]) for b in before), default=0.0)
            return float((1 - weight) * (scores[i] - scores.min()) / spread - weight * likeness)

        assert worth(item) >= max(worth(i) for i in range(count) if i not in before) - 1e-5


@given(arrays(np.float32, items, elements=st.floats(-5, 5, width=32)))
def test_without_weight_it_is_the_order_of_the_scores(scores: np.ndarray) -> None:
    vectors = np.full((len(scores), 2), np.nan, np.float32)
    order = maximal_marginal_relevance(scores, vectors, 0.0, len(scores))
    assert order.tolist() == sorted(range(len(scores)), key=lambda i: (-scores[i], i))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([1, 2, None])), max_size=12), st.integers(1, 3)
)
def test_caps_keep_the_first_of_each_value(values: list[tuple[str, int | None]], cap: int) -> None:
    letters, numbers = [v for v, _ in values], [n for _, n in values]
    order = np.arange(len(values))[::-1]
    kept = capped(order, [(letters, cap), (numbers, 2)]).tolist()
    expected: list[int] = []
    for i in order.tolist():
        fits = sum(letters[k] == letters[i] for k in expected) < cap
        fits &= numbers[i] is None or sum(numbers[k] == numbers[i] for k in expected) < 2
        expected += [i] if fits else []
    assert kept == expected
