"""Characters that need care.

Half characters (lone surrogates) can stand in JSON, but not be written as UTF-8, read as tokens or sent. Control
characters do things to a terminal, up to writing elsewhere on it, and bidirectional ones turn what is read around.
"""

import re
import unicodedata

from thinkwright.errors import DataError

HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")
_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Line end and tab; the joiners that emoji and some scripts are written with.
_HARMLESS = frozenset("\n\t\u200c\u200d")


def check_characters(text: str, place: str, name: str) -> None:
    """Raises DataError for a text with half a character; ``place`` and ``name`` say where it stands."""
    if HALF_CHARACTER.search(text):
        raise DataError(f"{place}: {name} holds half a character (a surrogate such as \\ud800); mend the row")


def code_point(char: str) -> str:
    """A character that cannot be shown, such as ``[U+202E]``."""
    return f"[U+{ord(char):04X}]"


def with_controls_shown(text: str) -> str:
    """A text of a stranger as a terminal may have it: nothing in it does anything."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(code_point(char) if _is_control(char) else char for char in text)


def _is_control(char: str) -> bool:
    return char not in _HARMLESS and unicodedata.category(char) in _CONTROLS
