"""Half characters (lone surrogates): they can stand in JSON, but not be written as UTF-8, read as tokens or sent."""

import re

from thinkwright.errors import DataError

HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


def check_characters(text: str, place: str, name: str) -> None:
    """Raises DataError for a text with half a character; ``place`` and ``name`` say where it stands."""
    if HALF_CHARACTER.search(text):
        raise DataError(f"{place}: {name} holds half a character (a surrogate such as \\ud800); mend the row")
