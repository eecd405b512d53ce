"""Which of the languages that share a script a piece of text is in, by py3langid (naive Bayes over byte n-grams)."""

from copy import copy
from functools import cache
from importlib import import_module
from typing import Any, cast

from thinkwright.rewards.scripts import HAN, KANA, LANGUAGES_OF, find_words

_SAME = (frozenset({"bs", "hr", "sr"}), frozenset({"id", "ms"}), frozenset({"no", "nn"}))
"""Written standards too close for sentences to be told apart by: one passes for the other."""
_DOUBT = 5.0
"""Nats by which another language must be likelier for a piece not to be in the language it should be in."""
_KANA_SHARE = 0.1


def is_in(text: str, script: str, language: str) -> bool:
    """Whether ``text``, words of one script that writes ``language``, is in it rather than in another."""
    found = _likeliest(text, script)
    if is_same_standard(found, language):
        return True
    return _is_doubtful(text, script, found, language)


def _likeliest(text: str, script: str) -> str:
    return cast("str", _identifier(script).classify(text)[0])


def _is_doubtful(text: str, script: str, found: str, language: str) -> bool:
    """Whether ``language`` is hardly less likely than the one found."""
    scores: dict[str, float] = dict(_identifier(script).rank(text))
    return scores[language] >= scores[found] - _DOUBT


def is_same_standard(language: str, other: str) -> bool:
    """The same language, or written standards of one."""
    return language == other or any({language, other} <= same for same in _SAME)


def best_language(text: str, script: str, usual: str) -> str:
    """The likeliest language of ``text``; ``usual`` where that is not clearly less likely."""
    candidates = LANGUAGES_OF[script]
    if len(candidates) == 1:
        return candidates[0]
    found = _likeliest(text, script)
    return usual if usual in candidates and _is_doubtful(text, script, found, usual) else found


def is_japanese(num_han: int, num_kana: int) -> bool:
    """Whether enough of these characters are kana; Chinese has none but in a name or two."""
    return num_kana > 0 and num_kana >= _KANA_SHARE * (num_han + num_kana)


def han_language(text: str) -> str:
    """Japanese or Chinese."""
    scripts = [script for _, script in find_words(text)]
    return "ja" if is_japanese(scripts.count(HAN), scripts.count(KANA)) else "zh"


def load_identifier() -> None:
    """Load the model, which takes about a second, once a process."""
    _whole_identifier()


@cache
def _identifier(script: str) -> Any:
    """One per script, all over the same model."""
    restricted = copy(_whole_identifier())
    restricted.set_languages(LANGUAGES_OF[script])
    return restricted


@cache
def _whole_identifier() -> Any:
    langid: Any = import_module("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
