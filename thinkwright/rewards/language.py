"""How much of a text is in the language it should be in, and which language a text is in.

DeepSeek-R1 (arXiv:2501.12948, section 2.3.2): Num(words in the target language) / Num(words). A word counts if its
script writes the language; where other languages share the script, if the piece of text it stands in, a sentence or
several short ones, is in the language too. Too short a text for that is taken at its script.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from thinkwright.errors import DataError
from thinkwright.rewards.identify import best_language, han_language, is_in, is_japanese
from thinkwright.rewards.prose import prose_of
from thinkwright.rewards.scripts import HAN, KANA, LANGUAGES_OF, find_words

LANGUAGES = frozenset(language for languages in LANGUAGES_OF.values() for language in languages)
MAX_CHARACTERS = 200_000
"""Of a longer text, the first and the last halves of this count."""
_MAX_DETECT_CHARACTERS = 20_000
_NAMES = {"nb": "no"}
_SENTENCE_END = re.compile(
    r"[.!?](?=\s)|[\n\u2026\u3002\uff01\uff1f\uff1b\u0964\u0965\u061f\u06d4\u0589\u1362\u104b\u17d4]"
)
# A sentence of fewer letters, or fewer in words that differ, is judged together with the next; one of more words in
# pieces.
_MIN_LETTERS, _MIN_NEW_LETTERS, _MIN_HAN = 40, 20, 10
_MAX_WORDS, _MAX_HAN = 40, 100
_IDENTIFIERS = frozenset({"lambda"})
_VARIABLE = re.compile(r"[A-Zb-z\u0370-\u03ff]")
_OPERATORS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "lim", "gcd", "lcm", "mod", "det", "arg", "deg",
})  # fmt: skip


def language_consistency(text: str, language: str, ignore: frozenset[str] = frozenset()) -> float:
    """Share of the words of ``text`` that are in ``language`` (ISO 639-1), 0 to 1; 1 if it has no words.

    Digits, code, LaTeX, addresses, quotes, tags, single letters and the words in ``ignore`` (lower-cased, such as
    ``question_words``: names belong to no language) do not count either way. Raises DataError for a language that
    cannot be told from others.
    """
    language = checked_language(language)
    total = Counter[str]()
    pieces = {group: _Piece(group, language) for group in _groups(language)}
    group_of = {script: group for group in pieces for script in group}
    for sentence in _SENTENCE_END.split(prose_of(_capped(text))):
        for word, script in find_words(sentence):
            if not _is_word(word):
                continue
            is_counted = word.casefold() not in ignore
            total[script] += is_counted
            if script in group_of:
                pieces[group_of[script]].add(word, script, is_counted)
        for piece in pieces.values():
            piece.end_sentence()
    num_own = sum(piece.close() for piece in pieces.values())
    return num_own / total.total() if total.total() else 1.0


def detect_language(text: str, usual: str = "en") -> str:
    """The language most of ``text`` is in (ISO 639-1); ``usual`` for one too short to tell or without words."""
    words = [(word, script) for word, script in find_words(prose_of(text[:_MAX_DETECT_CHARACTERS])) if _is_word(word)]
    counts = Counter(script for _, script in words if script in LANGUAGES_OF)
    if not counts:
        return usual
    script = "Z" if counts[HAN] + counts[KANA] > counts.total() / 2 else counts.most_common(1)[0][0]
    own = " ".join(word for word, found in words if found == script)
    if script in (HAN, KANA):
        return han_language("".join(word for word, found in words if found in (HAN, KANA)))
    return best_language(own, script, usual)


def question_words(question: str) -> frozenset[str]:
    """The words of a question, lower-cased, to be ignored in the thought about it."""
    return frozenset(word.casefold() for word, _ in find_words(prose_of(question)) if _is_word(word))


def checked_language(language: str) -> str:
    """The name the language has here; DataError if there is no rule for it."""
    language = _NAMES.get(language, language)
    if language not in LANGUAGES:
        raise DataError(f"language {language!r} cannot be told from others; use one of {sorted(LANGUAGES)}")
    return language


@dataclass
class _Piece:
    """Words of one script, gathered until they are enough to judge by."""

    scripts: str
    language: str
    num_own: int = 0
    """Words counted as in the language so far."""
    was_own: bool = True
    """The verdict on the piece before."""
    words: dict[str, None] = field(default_factory=dict[str, None])
    """Each once: a few words over and over are too few to tell by."""
    num_words: int = 0
    num_letters: int = 0
    met: Counter[str] = field(default_factory=Counter[str])
    counted: Counter[str] = field(default_factory=Counter[str])

    def add(self, word: str, script: str, is_counted: bool) -> None:
        self.words[word] = None
        self.num_words += 1
        self.num_letters += len(word)
        self.met[script] += 1
        self.counted[script] += is_counted
        if self.num_words >= (_MAX_HAN if HAN in self.scripts else _MAX_WORDS):
            self.end_sentence()

    def end_sentence(self) -> None:
        if HAN in self.scripts:
            is_enough = self.num_letters >= _MIN_HAN
        else:
            is_enough = self.num_letters >= _MIN_LETTERS and sum(map(len, self.words)) >= _MIN_NEW_LETTERS
        if is_enough:
            self._judge()

    def close(self) -> int:
        """The number of words in the language; a short rest goes as the piece before went."""
        self._credit(self.was_own)
        return self.num_own

    def _judge(self) -> None:
        if HAN in self.scripts:
            self.was_own = is_japanese(self.met[HAN], self.met[KANA]) == (self.language == "ja")
        elif len(LANGUAGES_OF[self.scripts]) == 1:
            self.was_own = True
        else:
            self.was_own = is_in(" ".join(self.words), self.scripts, self.language)
        self._credit(self.was_own)

    def _credit(self, is_own: bool) -> None:
        own_scripts = {"ja": HAN + KANA if is_own else KANA, "zh": HAN if is_own else ""}
        self.num_own += sum(
            self.counted[script] for script in own_scripts.get(self.language, self.scripts if is_own else "")
        )
        self.words, self.num_words, self.num_letters = {}, 0, 0
        self.met.clear()
        self.counted.clear()


def _groups(language: str) -> list[str]:
    """The scripts the language is written in; Han and kana are judged together."""
    if language in ("ja", "zh"):
        return [HAN + KANA]
    return [script for script, languages in LANGUAGES_OF.items() if language in languages]


def _is_word(word: str) -> bool:
    """Not a variable or an operator of mathematics."""
    return _VARIABLE.fullmatch(word) is None and word not in _IDENTIFIERS and word.casefold() not in _OPERATORS


def _capped(text: str) -> str:
    half = MAX_CHARACTERS // 2
    return text if len(text) <= MAX_CHARACTERS else f"{text[:half]} {text[-half:]}"
