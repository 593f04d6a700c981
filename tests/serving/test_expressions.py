"""Expressions against Python's own evaluation of each row, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from serving.expressions import FUNCTIONS, MAX_CHARACTERS, BadExpression, parse

NAMES = frozenset({"posts", "members", "view__age"})

numbers = st.deferred(
    lambda: st.one_of(
        st.sampled_from(sorted(NAMES)),
        st.integers(0, 9).map(str),
        st.floats(-9, 9).map(lambda x: f"({x})"),
        st.tuples(numbers, st.sampled_from("+-*"), numbers).map(lambda p: f"({' '.join(p)})"),
        numbers.map(lambda n: f"(-{n})"),
        numbers.map(lambda n: f"abs({n})"),
        st.tuples(numbers, numbers).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
    )
)
booleans = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["True", "False"]),
        st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers).map(" ".join),
        st.tuples(numbers, numbers, numbers).map(lambda p: f"{p[0]} < {p[1]} <= {p[2]}"),
        st.tuples(booleans, st.sampled_from(["and", "or"]), booleans).map(lambda p: f"({' '.join(p)})"),
        booleans.map(lambda b: f"(not {b})"),
        numbers.map(lambda n: f"is_missing({n})"),
    )
)
values = st.floats(-5, 5) | st.just(math.nan)
IN_PYTHON = {
    "abs": abs,
    "is_missing": math.isnan,
    "coalesce": lambda value, other: other if math.isnan(value) else value,
}


@given(booleans, st.lists(st.tuples(values, values, values), max_size=5))
@settings(max_examples=300, deadline=None)
def test_a_filter_is_pythons_own_value_for_each_row(
    text: str, rows: list[tuple[float, float, float]]
) -> None:
    columns = {name: np.array([row[n] for row in rows]) for n, name in enumerate(sorted(NAMES))}
    assume(len(text) < 300)
    expression = parse(text, "boolean", NAMES)
    expected = [eval(text, IN_PYTHON, {n: c[i] for n, c in columns.items()}) for i in range(len(rows))]
    assert expression.evaluate(columns, len(rows)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("posts / members", [math.inf, 0.5]),
        ("log1p(posts) + 0 * members", [math.log(2), math.log(3)]),
        ("minimum(posts, 1.5) - maximum(members, 1)", [0, -2.5]),
        ("sqrt(members)", [0, 2]),
        ("3", [3, 3]),
    ],
)
def test_a_boost_is_a_number_for_every_row(text: str, expected: list[float]) -> None:
    columns = {"posts": np.array([1.0, 2.0], np.float32), "members": np.array([0.0, 4.0], np.float32)}
    value = parse(text, "number", NAMES).evaluate(columns, 2)
    assert value.dtype == np.float64
    assert value.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("posts > 1 1", "cannot be read at character"),
        ("posts", "is a number, and a boolean is wanted: write, for example, `name > 3"),
        ("likes > 3", "names `likes`, which is not served: choose from members, posts, view__age"),
        ("posts > 'many'", "has `'many'`, which is not allowed"),
        ("posts.real > 1", "not allowed"),
        ("posts[0] > 1", "not allowed"),
        ("(lambda: 1)() > 0", "not allowed"),
        ("__import__('os') > 0", "calls __import__"),
        ("posts ** 999 > 0", "not allowed"),
        ("[p for p in posts] > 0", "not allowed"),
        ("posts and members", "has `posts` where a boolean is wanted"),
        ("not posts", "where a boolean is wanted"),
        ("(posts > 1) + 1 > 2", "where a number is wanted"),
        ("abs(posts, members) > 1", "abs takes 1"),
        ("abs(x=posts) > 1", "not allowed"),
        ("posts in members", "not allowed"),
        ("(x := posts) > 1", "not allowed"),
        ("posts > 1" + " " * MAX_CHARACTERS, "is longer than"),
        ("posts" + " + posts" * 100 + " > 1", "more than"),
        ("-" * 900 + "posts > 1", "has more than|cannot be read"),
    ],
)
def test_what_is_refused_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BadExpression, match=said):
        parse(text, "boolean", NAMES)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        found = parse(text, "boolean", NAMES).names
    except BadExpression:
        found = frozenset()
    assert found <= NAMES


def test_every_function_is_there_under_its_name() -> None:
    for name, function in FUNCTIONS.items():
        text = f"{name}({', '.join(['posts'] * function.arguments)})"
        assert parse(text, function.answers, NAMES).names == {"posts"}
