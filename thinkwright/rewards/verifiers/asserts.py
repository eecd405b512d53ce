"""Splits an assert into a call, which runs in the sandbox, and a condition on its value, which does not.

``assert f(3) == [9]`` becomes the call ``f(3)`` and the condition ``value == [9]``. A program sees the call alone: what
is expected of it never enters the sandbox, so nothing in there can look it up, and no object of the program's takes
part in the comparison. The condition is data, too: only the operators and functions listed here may stand in it.
"""

import ast
import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import CodeType, SimpleNamespace
from typing import Any

from thinkwright.rewards.verifiers.plain_values import is_in, is_same, linked_list, tree

VALUE = "_value"
SAME = "_is_same"
IN = "_is_in"
CANDIDATE = "candidate"
# Functions that take a value as it is or turn an iterator, which cannot leave the sandbox, into one.
_CONSUMERS = (
    "list",
    "tuple",
    "set",
    "frozenset",
    "sorted",
    "dict",
    "next",
    "iter",
    "len",
    "sum",
    "any",
    "all",
    "min",
    "max",
)
_MATH = {name: getattr(math, name) for name in ("isclose", "sqrt", "fabs", "floor", "ceil", "pi", "e", "inf", "nan")}
_NAMES: dict[str, Any] = {
    "abs": abs, "round": round, "len": len, "int": int, "float": float, "complex": complex, "str": str, "bool": bool,
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "sorted": sorted, "dict": dict, "sum": sum,
    "min": min, "max": max, "any": any, "all": all, "bytes": bytes, "isinstance": isinstance,
    "isclose": math.isclose, "inf": math.inf, "nan": math.nan,
    "math": SimpleNamespace(**_MATH), "sys": SimpleNamespace(getsizeof=sys.getsizeof),
    "list_node": linked_list, "is_same_list": is_same, "tree_node": tree, "is_same_tree": is_same,
}  # fmt: skip
_ATTRIBUTES = {"math": _MATH, "sys": {"getsizeof": None}}
_ALLOWED = (
    ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Compare, ast.BoolOp, ast.UnaryOp,
    ast.BinOp, ast.IfExp, ast.Subscript, ast.Slice, ast.Call, ast.keyword, ast.boolop, ast.unaryop, ast.cmpop,
    ast.Attribute, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow,
)  # fmt: skip


@dataclass(frozen=True)
class SplitTest:
    """One test: the call for the sandbox, and the condition on its value."""

    call: str
    condition: CodeType


def split_tests(source: str, entry_point: str) -> list[SplitTest]:
    """The tests of asserts, as statements or as the body of a function ``check``. Raises ValueError, naming the assert.

    ``entry_point`` is the name the asserts call; "" for the one name that they call and this file does not know.
    """
    try:
        statements: Sequence[ast.stmt] = ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"has tests that are not Python: {error}") from None
    if len(statements) == 1 and isinstance(statements[0], ast.FunctionDef):
        statements = statements[0].body
    lines = source.encode().split(b"\n")
    tests: list[SplitTest] = []
    for statement in statements:
        if not isinstance(statement, ast.Assert):
            raise ValueError(f"has a statement among its tests that is no assert: {_quote(lines, statement)}")
        parts = _conjuncts(statement.test)
        tests += [_split(part, {entry_point, CANDIDATE} if entry_point else set(), lines) for part in parts]
    if not tests:
        raise ValueError("has no tests")
    return tests


def holds(condition: CodeType, value: Any) -> bool:
    """Whether the condition is true of a value. One that does not suit it (such as None for a number) fails it."""
    try:
        return bool(eval(condition, {"__builtins__": {}, SAME: is_same, IN: is_in, **_NAMES, VALUE: value}))
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError):
        return False


def _conjuncts(test: ast.expr) -> list[ast.expr]:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return [part for value in test.values for part in _conjuncts(value)]
    return [test]


def _split(test: ast.expr, names: Collection[str], lines: list[bytes]) -> SplitTest:
    cutter = _Cutter(names or _unknown_calls(test))
    condition = cutter.visit(test)
    if len(cutter.calls) != 1:
        raise ValueError(f"has a test with {len(cutter.calls)} calls of the program, not one: {_quote(lines, test)}")
    problem = _problem(condition)
    if problem is not None:
        raise ValueError(f"has a test that cannot be graded outside the sandbox ({problem}): {_quote(lines, test)}")
    expression = ast.fix_missing_locations(ast.Expression(condition))
    return SplitTest(f"({_segment(lines, cutter.calls[0])}\n)", compile(expression, "<condition>", "eval"))


class _Cutter(ast.NodeTransformer):
    """Takes the program's calls out of an expression and leaves the name of their value."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self.calls: list[ast.expr] = []

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.expr) and self._is_program_value(node):
            self.calls.append(node)
            return ast.Name(VALUE, ast.Load())
        if isinstance(node, ast.Constant):
            return node
        visited = super().visit(node)
        match visited:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                return ast.Call(ast.Name(SAME, ast.Load()), [left, right], [])
            case ast.Compare(left=left, ops=[ast.NotEq()], comparators=[right]):
                return ast.UnaryOp(ast.Not(), ast.Call(ast.Name(SAME, ast.Load()), [left, right], []))
            case ast.Compare(left=left, ops=[ast.In()], comparators=[right]):
                return ast.Call(ast.Name(IN, ast.Load()), [left, right], [])
            case ast.Compare(left=left, ops=[ast.NotIn()], comparators=[right]):
                return ast.UnaryOp(ast.Not(), ast.Call(ast.Name(IN, ast.Load()), [left, right], []))
            case _:
                return visited

    def _is_program_value(self, node: ast.expr) -> bool:
        """A call of the program, or what is read off one without any other data."""
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in self._names:
                return True
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _CONSUMERS:
                return self._is_program_value(argument)
            case ast.Call(func=ast.Attribute(value=owner), args=[], keywords=[]):
                return self._is_program_value(owner)
            case ast.Attribute(value=owner) | ast.Subscript(value=owner, slice=ast.Constant()):
                return self._is_program_value(owner)
            case _:
                return False


def _unknown_calls(test: ast.expr) -> set[str]:
    called = {node.func.id for node in ast.walk(test) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return called - set(_NAMES) or called


def _problem(condition: ast.expr) -> str | None:
    """What stands in a condition that may not."""
    for node in ast.walk(condition):
        match node:
            case ast.Call(func=ast.Name()) | ast.Call(func=ast.Attribute()):
                pass
            case ast.Call():
                return "a call of something other than a known function"
            case ast.Name(id=name) if name not in _NAMES and name not in (VALUE, SAME, IN):
                return f"the name {name}"
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if name in _ATTRIBUTES.get(owner, ()):
                pass
            case ast.Attribute(attr=name):
                return f"the attribute {name}"
            case ast.BinOp(op=ast.Mult() | ast.Pow() | ast.Mod()) if _has_value(node):
                return "a product, power or remainder of the program's value"
            case _ if not isinstance(node, _ALLOWED):
                return type(node).__name__
            case _:
                pass
    return None


def _has_value(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Name) and part.id == VALUE for part in ast.walk(node))


def _segment(lines: list[bytes], node: ast.expr | ast.stmt) -> str:
    """The source of a node; ``ast.get_source_segment`` would split all lines again for each."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    if first == last:
        return lines[first][node.col_offset : node.end_col_offset].decode()
    middle = [lines[first][node.col_offset :], *lines[first + 1 : last], lines[last][: node.end_col_offset]]
    return b"\n".join(middle).decode()


def _quote(lines: list[bytes], node: ast.expr | ast.stmt) -> str:
    text = _segment(lines, node)
    return text if len(text) <= 80 else text[:77] + "..."
