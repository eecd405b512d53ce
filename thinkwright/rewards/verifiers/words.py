"""Words in order, and words in any order."""

import re

from thinkwright.rewards.verifier import Verifier

_PUNCTUATION = ".,;:!?\"'()[]{}。，、；：！？“”‘’（）「」《》"
_SET_SEPARATORS = re.compile(r"[\s,，、和]+")


def parse_words(text: str) -> tuple[str, ...]:
    """The words between spaces, without case and without the punctuation around them."""
    words = (word.strip(_PUNCTUATION) for word in text.casefold().split())
    return tuple(word for word in words if word)


def is_same_words(answer: str, gold: str) -> bool:
    """The same words in the same order."""
    expected = parse_words(gold)
    return bool(expected) and parse_words(answer) == expected


def parse_word_set(text: str) -> frozenset[str] | None:
    """The words between spaces, commas and "and" (also the Chinese ones); None if a word comes twice."""
    words = [word for part in _SET_SEPARATORS.split(text) for word in parse_words(part) if word != "and"]
    return frozenset(words) if len(set(words)) == len(words) else None


def is_same_word_set(answer: str, gold: str) -> bool:
    """The same words in any order, none twice."""
    expected = parse_word_set(gold)
    return bool(expected) and parse_word_set(answer) == expected


def _check_words(gold: str) -> str | None:
    return None if parse_words(gold) else "has no words"


def _check_word_set(gold: str) -> str | None:
    return None if parse_word_set(gold) else "has no words, or one of them twice"


def _grade_words(answer: str, gold: str) -> float:
    return float(is_same_words(answer, gold))


def _grade_word_set(answer: str, gold: str) -> float:
    return float(is_same_word_set(answer, gold))


def _one_word_more(gold: str) -> str:
    """The words of the gold and a made one that is longer than any of them, so that it is new."""
    words = parse_words(gold)
    return " ".join([*words, "x" * (1 + max(map(len, words), default=0))])


WORDS = Verifier(_check_words, _grade_words, _one_word_more)
WORD_SET = Verifier(_check_word_set, _grade_word_set, _one_word_more)
