"""Keeps evaluation questions out of training text: exact matches and shared 10-grams (DeepSeek-R1, section B.3)."""

import re
from collections.abc import Iterable, Iterator

NGRAM_SIZE = 10
# A unit is a whole number, a word, one Chinese character, or an operator; other punctuation does not count.
_UNIT = re.compile(r"\d+|[一-鿿]|[^\W\d_一-鿿]+|[-+*/=<>]")


def units(text: str) -> tuple[str, ...]:
    """The units of ``text`` in order, lower-cased."""
    return tuple(_UNIT.findall(text.lower()))


def ngrams(text: str, size: int = NGRAM_SIZE) -> Iterator[tuple[str, ...]]:
    """Every run of ``size`` units; a text shorter than that is its own single run."""
    found = units(text)
    for i in range(max(1, len(found) - size + 1)):
        yield found[i : i + size]


class NgramIndex:
    """The 10-grams of a set of texts, to ask whether another text shares one."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._ngrams = {ngram for text in texts for ngram in ngrams(text)}

    def overlaps(self, text: str) -> bool:
        """True if ``text`` equals an indexed text or shares a 10-gram with one."""
        return any(ngram in self._ngrams for ngram in ngrams(text))
