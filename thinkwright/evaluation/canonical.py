"""When two answers count as the same one, for a vote: told from the answers alone, never from the gold."""

import re
import unicodedata

from thinkwright.rewards.extraction import extract_answer
from thinkwright.rewards.verifiers.numbers import parse_number

CANONICAL_VERSION = 1
"""Raised whenever other answers count as the same."""
NOT_VOTED = frozenset({"functions", "stdin_stdout", "instructions", "conduct", "refusal"})
"""Verifiers of replies that a majority cannot be taken of: programs, and texts that are judged as a whole."""
_LATEX = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname)\{([^{}]*)\}|\\(?:left|right|[,;:! ])|\\d(?=frac)"
)


def canonical_answer(answer: str | None, verifier: str) -> str | None:
    """A number by its value, any other answer without case, white space, width of characters, and LaTeX's dressing.

    None for no answer, and for verifiers that are ``NOT_VOTED``. Answers that only algebra could tell to be the same
    are different ones.
    """
    text = extract_answer(answer) if answer is not None and verifier not in NOT_VOTED else ""
    number = parse_number(text)
    if number is not None:
        return str(number)
    plain = _LATEX.sub(lambda match: match[1] or ("\\" if match[0] == "\\d" else ""), text)
    return "".join(unicodedata.normalize("NFKC", plain).casefold().split()) or None
