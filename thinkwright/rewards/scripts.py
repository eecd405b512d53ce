"""The words of a text and the script (in Unicode's sense) of each; which languages a script writes.

A script is one letter here, so that a text turned into scripts is a text of the same length. Words of scripts written
without spaces are single characters, as DeepSeek-R1 counts Chinese.
"""

import re
import unicodedata
from collections.abc import Iterator

_SCRIPT_OF_NAME = {
    "LATIN": "L", "CYRILLIC": "C", "GREEK": "G", "ARMENIAN": "a", "GEORGIAN": "g", "HEBREW": "H", "ARABIC": "A",
    "ETHIOPIC": "E", "DEVANAGARI": "D", "BENGALI": "B", "GURMUKHI": "p", "GUJARATI": "u", "ORIYA": "o", "TAMIL": "t",
    "TELUGU": "e", "KANNADA": "k", "MALAYALAM": "m", "SINHALA": "s", "HANGUL": "K", "THAI": "T", "LAO": "O",
    "KHMER": "M", "MYANMAR": "Y", "TIBETAN": "X", "CJK": "Z", "HIRAGANA": "J", "KATAKANA": "J",
    "KATAKANA-HIRAGANA": "J",
}  # fmt: skip
HAN, KANA = "Z", "J"
LANGUAGES_OF: dict[str, tuple[str, ...]] = {
    "L": (
        "af", "az", "bs", "ca", "cs", "cy", "da", "de", "en", "eo", "es", "et", "eu", "fi", "fr", "ga", "gl", "ha",
        "hr", "hu", "id", "ig", "is", "it", "jv", "la", "lg", "ln", "lt", "lv", "mg", "ms", "mt", "nl", "nn", "no",
        "om", "pl", "pt", "ro", "rw", "sk", "sl", "sn", "so", "sq", "sr", "st", "sv", "sw", "tl", "tr", "uz", "vi",
        "xh", "yo", "zu",
    ),
    "C": ("ba", "be", "bg", "kk", "ky", "mk", "mn", "ru", "sr", "tg", "tt", "uk"),
    "A": ("ar", "fa", "ps", "ug", "ur"),
    "D": ("hi", "mr", "ne"),
    "B": ("bn", "as"),
    "Z": ("zh", "ja"), "J": ("ja",), "K": ("ko",), "G": ("el",), "H": ("he",), "a": ("hy",), "g": ("ka",),
    "E": ("am",), "p": ("pa",), "u": ("gu",), "o": ("or",), "t": ("ta",), "e": ("te",), "k": ("kn",), "m": ("ml",),
    "s": ("si",), "T": ("th",), "O": ("lo",), "M": ("km",), "Y": ("my",), "X": ("dz",),
}  # fmt: skip
"""ISO 639-1 codes; of the languages that py3langid knows, those that are not swallowed by a close neighbour."""
_JOINERS = "\u200c\u200d\u00ad"
_APOSTROPHES = "'\u2019\u02bc"
_WORD = re.compile(r"[TOMYXZJ]|([A-IK-SU-Wa-z?])(?:\1|\^)*(?:'\1(?:\1|\^)*)*")
_OTHER = "?"


class _ScriptTable(dict[int, str]):
    """What ``str.translate`` needs; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _script_of(chr(code))
        return found


def find_words(text: str) -> Iterator[tuple[str, str]]:
    """Each word with its script: runs of letters of one script, single characters where no spaces are written."""
    scripts = text.translate(_TABLE)
    return ((text[match.start() : match.end()], match.group()[0]) for match in _WORD.finditer(scripts))


def _script_of(character: str) -> str:
    """The letter of its script; ``?`` for another script, ``^`` to go on with the word before, space for no letter."""
    if character in _APOSTROPHES:
        return "'"
    category = unicodedata.category(character)
    if character in _JOINERS:
        return "^"
    if category[0] not in "LM":
        return " "
    name = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    first = name.split(" ")[0]
    if first == "IDEOGRAPHIC":
        return HAN
    if first in _SCRIPT_OF_NAME:
        return _SCRIPT_OF_NAME[first]
    # Symbols that look like letters (mathematical, micro, ohm) are not words; marks belong to the letter before.
    is_symbol = first in ("MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER") or name.endswith(" SIGN")
    return "^" if category[0] == "M" or first == "MODIFIER" else " " if is_symbol else _OTHER


_TABLE = _ScriptTable()
