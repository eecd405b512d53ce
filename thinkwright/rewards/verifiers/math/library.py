"""The math-verify library for golds in notation that our own reader does not know, such as sums and integrals.

It reads leniently and compares to a tolerance, so it is asked only where its known mistakes cannot happen: both texts
are one expression without words, lists, equations or dots; no number and no power in them is large.
"""

import importlib
import logging
import re
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 200
MAX_DEPTH = 8
_DIGITS_COMPARED = 120
_REFUSED = re.compile(r"[0-9]{7}|[A-Za-z]{3}|[!,;:…%°$@<>=±]")
_LARGE = re.compile(r"\^\s*\{?\s*-?[0-9]{3}|\^\s*\{?\s*-?[0-9]+\s*\^")
_NOTATION = re.compile(r"\\(?:int|iint|oint|sum|prod|lim|max|min|gcd|det)(?![A-Za-z])|\\begin\{vmatrix\}")
_LIMITS = re.compile(r"_\s*\{\s*[a-zA-Z]\s*(?:=|\\to(?![A-Za-z]))[^{}]{1,12}\}")
_COMMANDS = re.compile(r"\\[A-Za-z]+")


def is_same_by_library(gold: str, answer: str) -> bool:
    """Whether math-verify finds two normalised texts equal; False unless both are fit for it."""
    if not (_NOTATION.search(gold) and is_fit(gold) and is_fit(answer)):
        return False
    first, second = _parse(gold), _parse(answer)
    if first is None or second is None:
        return False
    library = importlib.import_module("math_verify")
    return bool(
        library.verify(
            first,
            second,
            float_rounding=_DIGITS_COMPARED,
            numeric_precision=_DIGITS_COMPARED,
            timeout_seconds=None,
        )
    )


def load_library() -> None:
    """Load math-verify and with it sympy, which takes about a second, once a process."""
    importlib.import_module("math_verify")


def is_fit(text: str) -> bool:
    """One short expression of commands, single letters and small numbers. Infinite sums would miss the deadline."""
    if len(text) > MAX_CHARACTERS or not text or _depth(text) > MAX_DEPTH:
        return False
    if re.search(r"\\sqrt\s*\[|\\(?:pm|mp|text|cdots|ldots|infty|binom)(?![A-Za-z])", text):
        return False
    bare = _COMMANDS.sub(" ", _LIMITS.sub(" ", text))
    return not (_REFUSED.search(bare) or _LARGE.search(bare))


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    return deepest


@lru_cache(maxsize=512)
def _parse(text: str) -> Any:
    """The expression as sympy has it, or None. Its timeouts are off: they use signals, and workers have deadlines."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off
    library = importlib.import_module("math_verify")
    try:
        parsed = library.parse(
            f"${text}$",
            extraction_config=[library.LatexExtractionConfig()],
            fallback_mode="no_fallback",
            parsing_timeout=None,
        )
    except Exception:  # whatever the parser raises at a text that it was not made for
        return None
    return parsed[0] if len(parsed) == 1 else None
