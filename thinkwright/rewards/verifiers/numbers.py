"""One exact number. Left out: units, LaTeX, symbolic equality (the math verifier reads those)."""

import re
from fractions import Fraction

from thinkwright.rewards.verifier import Verifier

MAX_NUMBER_CHARACTERS = 64
_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)\$?
    (?:(?P<above>[0-9]+)\s*/\s*(?P<below>[0-9]+)
    |(?P<decimal>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+))
    \s*%?[.。]?""",
    re.VERBOSE,
)


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


def _check_gold(gold: str) -> str | None:
    return None if parse_number(gold) is not None else "is not one number such as 12, -3.5, 1,000 or 3/4"


def _grade(answer: str, gold: str) -> float:
    return float(is_same_number(answer, gold))


def _wrong_answer(gold: str) -> str:
    """One more than the gold."""
    return str((parse_number(gold) or Fraction(0)) + 1)


NUMBER = Verifier(_check_gold, _grade, _wrong_answer)
