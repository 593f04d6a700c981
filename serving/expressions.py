"""Filters and boosts: small typed expressions over what is served of the candidates, a whole column at a time.

``channel_activity__posts_7d > 3 and not is_missing(user_channel_affinity__comembership)``

The grammar is Python's, read by Python's own parser and held to a short list of its nodes; the evaluation is NumPy's.
There is no attribute, subscript, call of anything but `FUNCTIONS`, nor name but those that are declared, so that
nothing can be reached from here but the columns.
"""

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Type = Literal["number", "boolean"]
Columns = Mapping[str, NDArray[Any]]

MAX_CHARACTERS, MAX_NODES = 1000, 200

_EXAMPLES: Mapping[Type, str] = {"boolean": "name > 3 and other < 0.5", "number": "0.1 * log1p(name)"}


@dataclass(frozen=True)
class Function:
    """What may be called.

    Args:
        arguments: How many numbers it takes.
        answers: The type of its result.
        run: Takes columns or numbers, answers a column.
    """

    arguments: int
    answers: Type
    run: Callable[..., Any]


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(1, "number", np.abs),
    "sqrt": Function(1, "number", np.sqrt),
    "log1p": Function(1, "number", np.log1p),
    "minimum": Function(2, "number", np.minimum),
    "maximum": Function(2, "number", np.maximum),
    "is_missing": Function(1, "boolean", np.isnan),
    "coalesce": Function(2, "number", lambda value, other: np.where(np.isnan(value), other, value)),
}

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_NAMESPACE = {"__builtins__": {}, "float64": np.float64, **{name: f.run for name, f in FUNCTIONS.items()}}


class BadExpression(ValueError):
    """What is wrong with an expression, where in it, and what may stand there instead."""


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Args:
        text: As it was written.
        type: Of its value.
        names: The columns that it reads.
    """

    text: str
    type: Type
    names: frozenset[str]
    _code: CodeType

    def evaluate(self, columns: Columns, rows: int) -> NDArray[Any]:
        """Its value for every candidate, ``[rows]``: float64 for a number, bool for a boolean.

        A missing value is NaN: arithmetic passes it on, and every comparison with it but ``!=`` is false.
        """
        given = {name: np.asarray(columns[name], np.float64) for name in self.names}
        with np.errstate(all="ignore"):
            value = eval(self._code, _NAMESPACE, given)
        wanted = np.float64 if self.type == "number" else np.bool_
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, wanted), (rows,)))


@lru_cache(maxsize=1024)
def parse(text: str, wanted: Type, names: frozenset[str]) -> Expression:
    """Read and check an expression; the same one again costs a look-up.

    Args:
        text: The expression.
        wanted: The type that its value must have.
        names: The columns that there are.

    Raises:
        BadExpression: it is too long, no expression, of another type, or names what is not there.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadExpression(f"is longer than {MAX_CHARACTERS} characters: write a shorter one")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise BadExpression(f"cannot be read{where}: write, for example, `{_EXAMPLES[wanted]}`") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise BadExpression(f"has more than {MAX_NODES} parts: write a simpler one")
    checked = _Checker(names)
    found = checked.type_of(tree.body)
    if found != wanted:
        raise BadExpression(
            f"is a {found}, and a {wanted} is wanted: write, for example, `{_EXAMPLES[wanted]}`"
        )
    columnar = ast.fix_missing_locations(_Columnar().visit(tree))
    code = compile(columnar, "<expression>", "eval")
    return Expression(text, wanted, frozenset(checked.read), code)


class _Checker:
    """Finds the type of every part, and refuses what is not on the list."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self.read: set[str] = set()

    def type_of(self, node: ast.expr) -> Type:
        match node:
            case ast.Constant(value=bool()):
                return "boolean"
            case ast.Constant(value=int() | float()):
                return "number"
            case ast.Name(id=name):
                return self._column(name, node)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._all([operand], "boolean", "boolean")
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._all([operand], "number", "number")
            case ast.BoolOp(values=values):
                return self._all(values, "boolean", "boolean")
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                return self._all([left, right], "number", "number")
            case ast.Compare(left=left, ops=ops, comparators=others) if all(
                isinstance(op, _COMPARISONS) for op in ops
            ):
                return self._all([left, *others], "number", "boolean")
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, args, node)
        raise BadExpression(
            f"has {_shown(node)}, which is not allowed: use numbers, names, + - * /, comparisons, and, or, not, "
            f"and {', '.join(FUNCTIONS)}"
        )

    def _column(self, name: str, node: ast.expr) -> Type:
        if name not in self._names:
            known = ", ".join(sorted(self._names))
            raise BadExpression(f"names {_shown(node)}, which is not served: choose from {known}")
        self.read.add(name)
        return "number"

    def _call(self, name: str, args: list[ast.expr], node: ast.expr) -> Type:
        function = FUNCTIONS.get(name)
        if function is None:
            raise BadExpression(f"calls {name}: the functions are {', '.join(FUNCTIONS)}")
        if len(args) != function.arguments:
            raise BadExpression(f"has {_shown(node)}: {name} takes {function.arguments}")
        return self._all(args, "number", function.answers)

    def _all(self, parts: Iterable[ast.expr], wanted: Type, answers: Type) -> Type:
        for part in parts:
            if self.type_of(part) != wanted:
                raise BadExpression(f"has {_shown(part)} where a {wanted} is wanted")
        return answers


class _Columnar(ast.NodeTransformer):
    """``and``, ``or``, ``not`` and chains of comparisons, as NumPy has them for whole columns."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """NumPy's numbers, as those of a column are: Python's own raise an error where they are divided by zero."""
        if not isinstance(node.value, int | float) or isinstance(node.value, bool):
            return node
        try:
            value = float(node.value)
        except OverflowError:  # an integer of hundreds of digits
            value = math.inf
        return ast.Call(ast.Name("float64", ast.Load()), [ast.Constant(value)], [])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        op = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        return _folded(node.values, op)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):  # `~True` is an integer, where a column of one constant is meant
            return ast.BinOp(node.operand, ast.BitXor(), ast.Constant(True))
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        terms = [node.left, *node.comparators]
        pairs = [ast.Compare(terms[n], [op], [terms[n + 1]]) for n, op in enumerate(node.ops)]
        return _folded(pairs, ast.BitAnd())


def _folded(parts: Iterable[ast.expr], op: ast.operator) -> ast.expr:
    first, *others = parts
    for other in others:
        first = ast.BinOp(first, op, other)
    return first


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return f"`{text if len(text) <= 40 else text[:40] + '…'}`"
