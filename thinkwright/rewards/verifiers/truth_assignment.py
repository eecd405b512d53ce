"""Knights and knaves: who tells the truth, as a role for each person.

Gold: ``{"names": ["Zoey", "Oliver"], "solution": [true, false], "true_word": "knight", "false_word": "knave"}``. The
answer is the whole text, a list of claims such as ``(1) Zoey is a knight``, ``Zoey is a knight, and Oliver is a knave``
or ``Zoey: knight; Oliver: knave``. Each person must be given a role exactly once; anything else in the text, a negation
("is not a knave"), an alternative, a second opinion, makes it no answer.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from thinkwright.rewards.verifier import Verifier

MAX_ANSWER_CHARACTERS = 4000
_GOLD_FORM = '{"names": [...], "solution": [true, false, ...], "true_word": "knight", "false_word": "knave"}'
# What may stand between two claims, and before the first.
_BETWEEN = re.compile(r"[\s.,;&*_-]*+(?:and\b[\s*_]*+)?(?:(?:\([0-9]{1,3}\)|[0-9]{1,3}[.):])[\s*_]*+)?")
_LEAD = re.compile(r"[\s*_]*+(?:(?:so|therefore|thus|hence)\b[\s,:]*+)?(?:the answer is:?|answer:)?", re.IGNORECASE)
_LINK = re.compile(r"[\s*_]*+(?::|=|->|-|is\b)[\s*_]*+(?:(?:an?|the)\b[\s*_]*+)?", re.IGNORECASE)
_END = re.compile(r"[\s.!*_]*+")
_WORD = re.compile(r"[^\W_](?:[^\n]{0,78}[^\W_])?")


@dataclass(frozen=True)
class _Puzzle:
    is_true: dict[str, bool]
    """By case-folded name."""
    true_word: str
    false_word: str


def grade(answer: str, gold: str) -> float:
    """1 if the answer gives every person of the gold the right role, else 0."""
    puzzle = _parse_gold(gold)
    return float(parse_assignment(answer, puzzle) == puzzle.is_true)


def parse_assignment(answer: str, puzzle: _Puzzle) -> dict[str, bool] | None:
    """The role of each person named, by case-folded name; None if the text is not such a list and nothing else."""
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return None
    name_pattern = _one_of(puzzle.is_true)
    role_pattern = _one_of((puzzle.true_word, puzzle.false_word))
    claimed: dict[str, bool] = {}
    position = _end_of(_LEAD, answer, 0)
    while (stop := _end_of(_END, answer, position)) < len(answer):
        position = _end_of(_BETWEEN, answer, position)
        name = name_pattern.match(answer, position)
        link = _LINK.match(answer, name.end()) if name else None
        role = role_pattern.match(answer, link.end()) if link else None
        if name is None or role is None or name.group().casefold() in claimed:
            return None
        claimed[name.group().casefold()] = role.group().casefold() == puzzle.true_word.casefold()
        position = role.end()
    return claimed if claimed and stop == len(answer) else None


def check_gold(gold: str) -> str | None:
    """Why the gold is no puzzle, or None."""
    try:
        _parse_gold(gold)
    except ValueError as error:
        return str(error)
    return None


def wrong_answer(gold: str) -> str:
    """The solution with the first person's role turned round."""
    names, solution, true_word, false_word = _fields(gold)
    return _write(names, [not solution[0], *solution[1:]], true_word, false_word)


def _write(names: list[str], solution: list[bool], true_word: str, false_word: str) -> str:
    roles = [true_word if is_true else false_word for is_true in solution]
    return "\n".join(f"({i}) {name} is a {role}" for i, (name, role) in enumerate(zip(names, roles, strict=True), 1))


def _parse_gold(gold: str) -> _Puzzle:
    names, solution, true_word, false_word = _fields(gold)
    is_true = {name.casefold(): value for name, value in zip(names, solution, strict=True)}
    if len(is_true) < len(names):
        raise ValueError("names a person twice")
    if true_word.casefold() == false_word.casefold():
        raise ValueError("has one word for both roles")
    return _Puzzle(is_true, true_word, false_word)


def _fields(gold: str) -> tuple[list[str], list[bool], str, str]:
    """The four fields, each of the right kind; ValueError otherwise."""
    try:
        found = json.loads(gold)
    except (ValueError, RecursionError):
        found = None
    form = ValueError(f"is not JSON of the form {_GOLD_FORM}")
    if not isinstance(found, dict):
        raise form
    fields = cast("dict[str, Any]", found)
    names, solution = fields.get("names"), fields.get("solution")
    words = [fields.get("true_word", "knight"), fields.get("false_word", "knave")]
    if not isinstance(names, list) or not isinstance(solution, list) or not names:
        raise form
    texts, values = cast("list[Any]", names) + words, cast("list[Any]", solution)
    if not all(isinstance(text, str) and _WORD.fullmatch(text) for text in texts):
        raise form
    if len(values) != len(texts) - 2 or not all(type(value) is bool for value in values):
        raise form
    return cast("list[str]", texts[:-2]), cast("list[bool]", values), texts[-2], texts[-1]


def _one_of(words: "dict[str, bool] | tuple[str, ...]") -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?:{'|'.join(map(re.escape, longest_first))})(?![\w'])", re.IGNORECASE)


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


VERIFIER = Verifier(check_gold, grade, wrong_answer)
