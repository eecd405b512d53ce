"""Is the answer right? One rule a name; each compares text a model wrote, trusted in nothing, with a gold answer.

Rules, not models, as in DeepSeek-R1-Zero (arXiv:2501.12948, section 2.2.2). Left out: units, LaTeX, symbolic equality.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from thinkwright.rewards.program_runner import judge_programs, parse_tests

MAX_NUMBER_CHARACTERS = 64
MAX_EXPRESSION_CHARACTERS = 100
_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)\$?
    (?:(?P<above>[0-9]+)\s*/\s*(?P<below>[0-9]+)
    |(?P<decimal>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+))
    \s*%?[.。]?""",
    re.VERBOSE,
)
_PUNCTUATION = ".,;:!?\"'()[]{}。，、；：！？“”‘’（）「」《》"
_SET_SEPARATORS = re.compile(r"[\s,，、和]+")
_EXPRESSION = re.compile(r"(?P<expression>[0-9+\-*/() ]+)(?:=\s*(?P<value>-?[0-9]+)\s*)?")


@dataclass(frozen=True)
class Verifier:
    """A rule by which answers are judged."""

    check_gold: Callable[[str], str | None]
    """Why this gold cannot be compared with, or None if it can. A row with such a gold is never rewarded."""
    is_correct: Callable[[str, str], bool]
    """Whether the answer (first) says what the gold (second) says."""


def parse_number(text: str) -> Fraction | None:
    """The one number that ``text`` is, exactly; None if it is anything else, or longer than 64 characters.

    Reads 12, -3.50, 1,000, 3/4, $5, 60% (as 60: the question asked for per cent), and a full stop after any of them.
    """
    text = text.strip()
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER_CHARACTERS else None
    if match is None or (match["below"] is not None and int(match["below"]) == 0):
        return None
    if match["below"] is not None:
        size = Fraction(int(match["above"]), int(match["below"]))
    else:
        size = Fraction(match["decimal"].replace(",", ""))
    return -size if match["sign"] == "-" else size


def is_same_number(answer: str, gold: str) -> bool:
    """Both are numbers, and the same one."""
    expected = parse_number(gold)
    return expected is not None and parse_number(answer) == expected


def parse_words(text: str) -> tuple[str, ...]:
    """The words between spaces, without case and without the punctuation around them."""
    words = (word.strip(_PUNCTUATION) for word in text.casefold().split())
    return tuple(word for word in words if word)


def is_same_words(answer: str, gold: str) -> bool:
    """The same words in the same order."""
    expected = parse_words(gold)
    return bool(expected) and parse_words(answer) == expected


def parse_word_set(text: str) -> frozenset[str] | None:
    """The words between spaces, commas and "and" (also the Chinese ones); None if a word comes twice."""
    words = [word for part in _SET_SEPARATORS.split(text) for word in parse_words(part) if word != "and"]
    return frozenset(words) if len(set(words)) == len(words) else None


def is_same_word_set(answer: str, gold: str) -> bool:
    """The same words in any order, none twice."""
    expected = parse_word_set(gold)
    return bool(expected) and parse_word_set(answer) == expected


def parse_countdown(gold: str) -> tuple[Counter[int], int] | None:
    """The numbers to use, with how often, and the target, from JSON ``{"numbers": [..], "target": n}``; else None."""
    try:
        found = json.loads(gold)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    puzzle = cast("dict[str, Any]", found)
    numbers, target = puzzle.get("numbers"), puzzle.get("target")
    if not isinstance(numbers, list) or not numbers or type(target) is not int:
        return None
    integers = cast("list[Any]", numbers)
    return (Counter(integers), target) if all(type(number) is int for number in integers) else None


def is_countdown_solution(answer: str, gold: str) -> bool:
    """An expression of + - * / and parentheses with exactly the given numbers that makes the target.

    "= target" may follow. Fractions are exact; signs before a number, powers and ``//`` are refused.
    """
    puzzle, answer = parse_countdown(gold), answer.strip()
    match = _EXPRESSION.fullmatch(answer) if len(answer) <= MAX_EXPRESSION_CHARACTERS else None
    if puzzle is None or match is None:
        return False
    numbers, target = puzzle
    if match["value"] is not None and int(match["value"]) != target:
        return False
    used: Counter[int] = Counter()
    try:
        value = _evaluate(ast.parse(match["expression"].strip(), mode="eval").body, used)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return False
    return used == numbers and value == target


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


def _is_program_correct(answer: str, gold: str) -> bool:
    return judge_programs([(answer, gold)])[0]


def _reason(can_read: Callable[[str], object], reason: str) -> Callable[[str], str | None]:
    return lambda gold: None if can_read(gold) else reason


VERIFIERS: dict[str, Verifier] = {
    "number": Verifier(
        _reason(lambda gold: parse_number(gold) is not None, "is not one number such as 12, -3.5, 1,000 or 3/4"),
        is_same_number,
    ),
    "words": Verifier(_reason(parse_words, "has no words"), is_same_words),
    "word_set": Verifier(_reason(parse_word_set, "has no words, or one of them twice"), is_same_word_set),
    "countdown": Verifier(
        _reason(parse_countdown, 'is not JSON of the form {"numbers": [integers], "target": integer}'),
        is_countdown_solution,
    ),
    "program": Verifier(
        _reason(parse_tests, "is not a JSON list of [argument, expected] pairs of numbers"),
        _is_program_correct,
    ),
}
