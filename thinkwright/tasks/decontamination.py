"""Keeps evaluation questions out of training text: exact matches and shared 10-grams (DeepSeek-R1, section B.3)."""

import re
from collections.abc import Iterable, Iterator

NGRAM_SIZE = 10
# White space and what ends or parts sentences. Apostrophes (f' is not f) and ! (5! is not 5) count, and so do signs
# inside a number.
_FILLER = (
    r'(?:[\s?;"\u2026\u201c-\u201f\u00ab\u00bb\u3001\u3002\u300c-\u300f\uff01\uff0c\uff1a\uff1b\uff1f]|[.,:](?!\d))+'
)
_BETWEEN_DIGITS = re.compile(rf"(?<=\d)({_FILLER})(?=\d)|{_FILLER}")
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
    """The 10-grams of a set of texts, to ask whether another text shares one, or how many of its own are there."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._ngrams: set[tuple[str, ...]] = set()
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Put a text's 10-grams in; a text without units, such as one of symbols, has none."""
        self._ngrams.update(filter(None, ngrams(text)))

    def overlaps(self, text: str) -> bool:
        """True if ``text`` equals an indexed text or shares a 10-gram with one."""
        return any(ngram in self._ngrams for ngram in ngrams(text))

    def share(self, text: str) -> float:
        """The share of the 10-grams of ``text`` that stand in indexed texts."""
        found = [ngram in self._ngrams for ngram in ngrams(text)]
        return sum(found) / len(found)


def identity(text: str, *, is_made: bool) -> str:
    """What two questions have in common if they are the same one.

    Of a made question every sign counts (rows of brackets are made, too); of a written one white space and sentence
    punctuation do not.
    """
    folded = text.casefold()
    if is_made:
        return " ".join(folded.split())
    return _BETWEEN_DIGITS.sub(lambda found: " " if found[1] else "", folded) or folded


class LeakIndex:
    """Evaluation questions, to ask whether a training question gives one of them away.

    Written questions do if they share a 10-gram. Questions made from templates all share the template's words, so
    among those only the same question does.
    """

    def __init__(self) -> None:
        self._written = NgramIndex()
        self._same: set[tuple[bool, str]] = set()

    def add(self, text: str, *, is_made: bool) -> None:
        """Put an evaluation question in."""
        self._same |= {(kind, identity(text, is_made=kind)) for kind in (True, False)}
        if not is_made:
            self._written.add(text)

    def leaks(self, text: str, *, is_made: bool) -> bool:
        """Whether a training question equals an indexed one or, both being written, shares a 10-gram with one."""
        is_same = (is_made, identity(text, is_made=is_made)) in self._same
        return is_same or (not is_made and self._written.overlaps(text))
