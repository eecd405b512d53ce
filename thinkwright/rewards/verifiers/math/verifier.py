r"""Answers of mathematics: "\boxed{\frac{1}{2}}" says what "0.5" says, and "(1, 2)" does not say what "[1, 2]" says.

``extraction`` finds the answer; it is compared with the gold in stages that each cost more: as a plain number; as text;
as a form that our own reader knows (``reader.py``), exactly and without symbolic algebra; and, for a gold in notation
that it does not know, by the math-verify library behind guards (``library.py``).
"""

import re
from fractions import Fraction
from functools import lru_cache

from thinkwright.rewards.extraction import MAX_ANSWER_CHARACTERS, extract_answer, find_last_box, strip_wrapping
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.math.compare import is_same
from thinkwright.rewards.verifiers.math.forms import Collection, Form, Quantity
from thinkwright.rewards.verifiers.math.library import is_same_by_library, load_library
from thinkwright.rewards.verifiers.math.reader import read_form
from thinkwright.rewards.verifiers.math.text import is_same_text, normalise
from thinkwright.rewards.verifiers.math.values import symbols_of

_PLAIN_NUMBER = re.compile(
    r"""(?P<sign>-?)\$?
    (?: (?P<whole>[0-9]{1,3}(?:,[0-9]{3}){1,20}|[0-9]{1,60})(?:\.(?P<decimals>[0-9]{1,60}))?
    |   \\[dt]?frac\{(?P<above>[0-9]{1,60})\}\{(?P<below>[0-9]{1,60})\}
    |   (?P<numerator>[0-9]{1,60})/(?P<denominator>[0-9]{1,60}) )""",
    re.VERBOSE,
)
# What is wrong with a gold that is mathematics and cannot be read.
_BROKEN = [
    (re.compile(r"[-+*/^=_<>]$"), "breaks off"),
    (re.compile(r"(?:^|,)\s*[0-9.]+ [0-9.]+\s*(?:,|$)"), "has two numbers side by side"),
    (re.compile(r"/\s*0(?![.0-9])|\{0\}$"), "divides by zero"),
]
_MAX_ROUNDED_DECIMALS = 3  # a gold with more may be the rounding of an exact answer


def grade(answer: str, gold: str) -> float:
    """1 if the final answer in ``answer`` is the gold's, else 0. ValueError at a gold that cannot be compared."""
    reason = check_gold(gold)
    if reason is not None:
        raise ValueError(f"the gold answer {reason}")
    found = extract_answer(answer)
    return float(bool(found) and is_same_answer(gold, found))


@lru_cache(maxsize=8192)
def check_gold(gold: str) -> str | None:
    """Why no answer can be compared with this gold, or None."""
    stripped = strip_gold(gold)
    if not any(map(str.isalnum, stripped)) and stripped not in ("∅", "∞"):
        return "is empty"
    if len(stripped) > MAX_ANSWER_CHARACTERS:
        return f"is longer than {MAX_ANSWER_CHARACTERS} characters"
    if find_last_box("\\boxed{" + stripped + "}") != stripped:
        return "has braces that do not match, so that it cannot stand in a box"
    text = normalise(stripped)
    if not _is_mathematics(text) or read_form(text) is not None:
        return None
    return next((reason for pattern, reason in _BROKEN if pattern.search(text)), _find_lonely_bracket(text))


def wrong_answer(gold: str) -> str:
    """An answer of the gold's kind that is not the gold."""
    stripped = strip_gold(gold)
    plain = read_plain_number(stripped)
    if plain is not None:
        return str(plain + 1)
    form = read_form(normalise(stripped))
    if isinstance(form, Quantity) and form.unit is None and symbols_of(form.node) != {"infty"}:
        return f"{stripped}+1"
    if isinstance(form, Collection):
        return f"{stripped}, 123456789"
    return "123456789" if form is not None else "none of these"


def is_same_answer(gold: str, answer: str) -> bool:
    """Whether two answers, found already, are the same."""
    gold = strip_gold(gold)
    first, second = read_plain_number(gold), read_plain_number(answer)
    if first is not None and second is not None and (first == second or not _may_be_rounded(gold)):
        return first == second and not (gold.lstrip("-").isdigit() and _is_fraction(answer))
    gold, answer = normalise(gold), normalise(answer)
    if not answer:
        return False
    if is_same_text(gold, answer):
        return True
    gold_form, answer_form = read_form(gold), read_form(answer)
    if gold_form is None or answer_form is None:
        return is_same_by_library(gold, answer)
    return any(_is_same_form(*pair) for pair in _readings(gold, answer, gold_form, answer_form))


def _is_fraction(number: str) -> bool:
    """Rather than a number in digits: 84/7 is a calculation left to do where 12 is asked for."""
    return "/" in number or "\\" in number.replace("\\$", "")


@lru_cache(maxsize=8192)
def strip_gold(gold: str) -> str:
    """The gold without dollar signs and the like around it."""
    return strip_wrapping(gold)


def read_plain_number(text: str) -> Fraction | None:
    """The value of -3, 1,000, 0.5, 3/4 or a fraction in LaTeX; None if it is anything else."""
    match = _PLAIN_NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["whole"]:
        whole = match["whole"].replace(",", "")
        size = Fraction(f"{whole}.{match['decimals']}") if match["decimals"] else Fraction(int(whole))
    else:
        below = int(match["below"] or match["denominator"])
        if below == 0:
            return None
        size = Fraction(int(match["above"] or match["numerator"]), below)
    return -size if match["sign"] else size


def _may_be_rounded(gold: str) -> bool:
    return len(gold.partition(".")[2]) > _MAX_ROUNDED_DECIMALS


def _readings(gold: str, answer: str, gold_form: Form, answer_form: Form) -> list[tuple[Form | None, Form | None]]:
    """The pairs of readings to try. Where a text has two, the other side says which one is meant."""
    pairs: list[tuple[Form | None, Form | None]] = [(gold_form, answer_form)]
    if isinstance(gold_form, Collection) and "," in answer:
        pairs.append((gold_form, read_form(answer, read_thousands=False)))
    if isinstance(gold_form, Quantity) and (gold_form.unit or not symbols_of(gold_form.node)):
        pairs.append((gold_form, read_form(answer, read_letters=True)))
    if isinstance(answer_form, Quantity) and answer_form.unit:
        pairs.append((read_form(gold, read_letters=True), answer_form))
    return pairs


def _is_same_form(gold: Form | None, answer: Form | None) -> bool:
    """Equal forms; what cannot be compared, because the answer is too large or undefined, is not equal."""
    try:
        return gold is not None and answer is not None and is_same(gold, answer)
    except (ArithmeticError, ValueError, TypeError, RecursionError):
        return False


def _is_mathematics(text: str) -> bool:
    """Rather than words: no two letters side by side outside of commands."""
    return not re.search(r"(?<![\\A-Za-z])[A-Za-z]{2}", text)


def _find_lonely_bracket(text: str) -> str | None:
    num_opened, num_closed = sum(map(text.count, "([")), sum(map(text.count, ")]"))
    return "has brackets that do not match" if num_opened != num_closed else None


VERIFIER = Verifier(check_gold, grade, wrong_answer, load=load_library)
