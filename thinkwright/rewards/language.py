"""How much of a text is in the language it should be in.

DeepSeek-R1 (arXiv:2501.12948, section 2.3.2): Num(words in the target language) / Num(words). A Chinese character is a
word, and so is a run of letters. Left out: telling apart languages that share a script.
"""

import re

from thinkwright.errors import DataError

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_LETTERS = rf"[^\W\d_{_HAN}]+"
_WORD = re.compile(rf"[{_HAN}]|{_LETTERS}(?:'{_LETTERS})?")
_WORD_OF_LANGUAGE = {"en": re.compile(r"[A-Za-z\u00c0-\u024f']+"), "zh": re.compile(rf"[{_HAN}]")}
# Tags, names with a digit or an underscore in them, and names that are called.
_CODE = re.compile(r"</?[A-Za-z]+>|[A-Za-z0-9_]*[0-9_][A-Za-z0-9_]*|[A-Za-z]+(?=\()")
_IDENTIFIERS = frozenset({"x", "f", "lambda"})
_SINGLE_CAPITAL = re.compile("[A-Z]")


def language_consistency(text: str, language: str, ignore: frozenset[str] = frozenset()) -> float:
    """Share of the words of ``text`` that are in ``language``, 0 to 1; 1 if it has no words.

    Digits, operators, tags, code, single capital letters and the words in ``ignore`` (lower-cased, such as
    ``question_words``: names belong to no language) do not count either way. Raises DataError for a language without
    a rule.
    """
    if language not in _WORD_OF_LANGUAGE:
        raise DataError(f"language {language!r} cannot be told from others; use one of {sorted(_WORD_OF_LANGUAGE)}")
    words = [word for word in _words(text) if word.casefold() not in ignore]
    if not words:
        return 1.0
    return sum(_WORD_OF_LANGUAGE[language].fullmatch(word) is not None for word in words) / len(words)


def question_words(question: str) -> frozenset[str]:
    """The words of a question, lower-cased, to be ignored in the thought about it."""
    return frozenset(word.casefold() for word in _words(question))


def _words(text: str) -> list[str]:
    found = _WORD.findall(_CODE.sub(" ", text))
    return [word for word in found if word not in _IDENTIFIERS and not _SINGLE_CAPITAL.fullmatch(word)]
