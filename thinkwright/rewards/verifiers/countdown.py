"""Reach a target from given numbers with + - * / (countdown, the game of 24). Any expression that does so is right."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from typing import Any, cast

from thinkwright.rewards.extraction import find_anchored, find_last_box, strip_wrapping
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.gold import read_gold_object

MAX_EXPRESSION_CHARACTERS = 100
MAX_REPLY_CHARACTERS = 200_000
_EXPRESSION = re.compile(r"(?P<expression>[0-9+\-*/() ]+)(?:=\s*(?P<value>-?[0-9]+)\s*)?")
_SIGNS = str.maketrans({"×": "*", "⋅": "*", "·": "*", "÷": "/", "−": "-", "（": "(", "）": ")", "＝": "="})
_LATEX = re.compile(r"\\(?P<sign>times|cdot|div|left|right)(?![a-zA-Z])|\\[,;! ]")
_LATEX_SIGNS = {"times": "*", "cdot": "*", "div": "/"}
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}\\]*)\}\{([^{}\\]*)\}")

# A value that can be made of the numbers, and the expression that makes it.
_Term = tuple[Fraction, str]


def parse_countdown(gold: str) -> tuple[Counter[int], int] | None:
    """The numbers to use, with how often, and the target, from JSON ``{"numbers": [..], "target": n}``; else None."""
    puzzle = read_gold_object(gold) or {}
    numbers, target = puzzle.get("numbers"), puzzle.get("target")
    if not isinstance(numbers, list) or not numbers or type(target) is not int:
        return None
    integers = cast("list[Any]", numbers)
    if not all(type(number) is int and number >= 0 for number in integers):
        return None
    return Counter(cast("list[int]", integers)), target


def is_countdown_solution(answer: str, gold: str) -> bool:
    """An expression of + - * / and parentheses with exactly the given numbers that makes the target.

    "= target" may follow. The signs may be those of a textbook or of LaTeX. Fractions are exact; a sign before a
    number, powers, ``//`` and digits put together are refused. Read is the whole answer, or the last box, or what
    follows "the answer is".
    """
    puzzle = parse_countdown(gold)
    if puzzle is None or len(answer) > MAX_REPLY_CHARACTERS:
        return False
    final = find_last_box(answer) or find_anchored(answer)
    readings = (answer, strip_wrapping(answer), strip_wrapping(final or ""))
    return any(_is_solution(reading, *puzzle) for reading in readings)


def solve(numbers: list[int], target: int) -> str | None:
    """An expression that uses every number once and makes the target; None if there is none.

    Tries every way of joining two values into one, so meant for up to five numbers; always finds the same one.
    """
    terms = [(Fraction(number), str(number)) for number in numbers]
    found = _search(terms, Fraction(target), set()) if terms else None
    return found[1:-1] if found is not None and len(numbers) > 1 else found


def _search(terms: list[_Term], target: Fraction, seen: set[tuple[Fraction, ...]]) -> str | None:
    if len(terms) == 1:
        return terms[0][1] if terms[0][0] == target else None
    values = tuple(sorted(value for value, _ in terms))
    if values in seen:
        return None
    seen.add(values)
    for i, j in combinations(range(len(terms)), 2):
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        for joined in _joined(terms[i], terms[j]):
            found = _search([*rest, joined], target, seen)
            if found is not None:
                return found
    return None


def _joined(left: _Term, right: _Term) -> Iterator[_Term]:
    (a, x), (b, y) = left, right
    yield a + b, f"({x} + {y})"
    yield a * b, f"({x} * {y})"
    yield a - b, f"({x} - {y})"
    yield b - a, f"({y} - {x})"
    if b:
        yield a / b, f"({x} / {y})"
    if a:
        yield b / a, f"({y} / {x})"


def _is_solution(text: str, numbers: Counter[int], target: int) -> bool:
    text = _plain(text)
    match = _EXPRESSION.fullmatch(text) if len(text) <= MAX_EXPRESSION_CHARACTERS else None
    if match is None or (match["value"] is not None and int(match["value"]) != target):
        return False
    used: Counter[int] = Counter()
    try:
        value = _evaluate(ast.parse(match["expression"].strip(), mode="eval").body, used)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return False
    return used == numbers and value == target


def _plain(text: str) -> str:
    """The expression with ASCII signs. A text that is too long to be one comes back as it is."""
    text = text.strip()
    if len(text) > 4 * MAX_EXPRESSION_CHARACTERS:
        return text
    text = _FRACTION.sub(r"((\1)/(\2))", text.translate(_SIGNS))
    return _LATEX.sub(lambda match: _LATEX_SIGNS.get(match["sign"], ""), text)


def _evaluate(node: ast.expr, used: Counter[int]) -> Fraction:
    """The exact value, counting each number met in ``used``. Raises ValueError at anything but numbers and + - * /."""
    match node:
        case ast.Constant(value=int(number)):
            used[number] += 1
            return Fraction(number)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _evaluate(left, used) + _evaluate(right, used)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _evaluate(left, used) - _evaluate(right, used)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _evaluate(left, used) * _evaluate(right, used)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _evaluate(left, used) / _evaluate(right, used)
        case _:
            raise ValueError(f"{type(node).__name__} is not part of a countdown expression")


def _check_gold(gold: str) -> str | None:
    if parse_countdown(gold):
        return None
    return 'is not JSON of the form {"numbers": [integers from 0 on], "target": integer}'


def _grade(answer: str, gold: str) -> float:
    return float(is_countdown_solution(answer, gold))


def _wrong_answer(gold: str) -> str:
    """The right numbers and the wrong value, or, if their sum is the target, one number too many."""
    puzzle = parse_countdown(gold)
    if puzzle is None:
        return ""
    numbers, target = list(puzzle[0].elements()), puzzle[1]
    return " + ".join(map(str, numbers)) + ("" if sum(numbers) != target else f" + {numbers[-1]}")


VERIFIER = Verifier(_check_gold, _grade, _wrong_answer)
