"""Multiple choice. A reply is read without looking at the gold, so no text can be right for two golds at once."""

import re
import string
import unicodedata
from dataclasses import dataclass
from typing import cast

from thinkwright.rewards.extraction import extract_answer
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.gold import read_gold_object, read_strings

MAX_REPLY_CHARACTERS = 200_000
MAX_STATEMENT_CHARACTERS = 2_000
LETTERS = string.ascii_uppercase
_PREFIX = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s)?\s*(?:the\s)?\s*(?:(?:correct|final|right|best)\s)?\s*"
    r"(?:answer|option|choice)(?:\s+is)?\s*:?\s*(?=[(\[A-Za-z])|(?:答案)?(?:选项?|是|为)?\s*[::]?\s*(?=[(\[A-Z])",
    re.IGNORECASE,
)
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\{([^{}]*)\}")
_LETTER_ALONE = re.compile(r"(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])\)|([A-Za-z]))")
_LETTER_AND_TEXT = re.compile(r"(?:\(([A-Z])\)[.:]?|\[([A-Z])\][.:]?|([A-Z])[).:])\s+(.*)", re.DOTALL)
# One capital by itself, but for the words "A" and "I".
_OTHER_LETTER = re.compile(r"(?<![\w'])(?:A(?! [a-z])|I(?! [a-z]|')|[B-HJ-Z])(?![\w'])")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class ChoiceGold:
    """A letter, and the texts that may be chosen from; none if they are not known."""

    letter: str
    choices: tuple[str, ...]


def parse_choice_gold(gold: str) -> ChoiceGold | None:
    """Reads ``B``, ``(B)`` or JSON ``{"answer": "B", "choices": [texts]}``; None if it is anything else."""
    found = read_gold_object(gold)
    if found is None:
        match = re.fullmatch(r"\(([A-Z])\)|([A-Z])", gold.strip())
        return ChoiceGold(match[1] or match[2], ()) if match else None
    choices = read_strings(found.get("choices"))
    letter = found.get("answer")
    if choices is None or not 2 <= len(choices) <= len(LETTERS):
        return None
    if not isinstance(letter, str) or letter not in tuple(LETTERS[: len(choices)]):
        return None
    return ChoiceGold(letter, tuple(choices))


def read_choice(text: str, choices: tuple[str, ...] = ()) -> str | None:
    """The one letter that ``text`` chooses, or None if it chooses none, several, or one that is not there.

    Reads ``B``, ``(b)``, ``B.``, ``B) text``, "the answer is B", a box, and the whole text of one choice. What follows
    the letter may not name another: neither by its letter nor by its text.
    """
    if len(text) > MAX_REPLY_CHARACTERS:
        return None
    letter = _read_statement(text, choices)
    if letter is not None:
        return letter
    return _read_statement(extract_answer(text), choices)


def _read_statement(text: str, choices: tuple[str, ...]) -> str | None:
    if len(text) > MAX_STATEMENT_CHARACTERS:
        return None
    text = _plain(text)
    labels = LETTERS[: len(choices)] if choices else LETTERS
    prefix = _PREFIX.match(text)
    statement = text[prefix.end() :] if prefix else text
    if match := _LETTER_ALONE.fullmatch(statement):
        letter = cast("str", match[match.lastindex or 0]).upper()
        if letter in labels:
            return letter
    named = _named_by_text(text, choices) or _named_by_text(statement, choices)
    match = _LETTER_AND_TEXT.fullmatch(statement)
    if named is not None or match is None:
        return named
    letter = cast("str", match[1] or match[2] or match[3])
    return letter if letter in labels and not _names_another(_plain(match[4]), letter, choices) else None


def _named_by_text(text: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the choice whose whole text this is, if just one; case counts where it tells them apart."""
    plain = [_plain(choice) for choice in choices]
    for wanted, texts in ((text, plain), (text.casefold(), [choice.casefold() for choice in plain])):
        letters = [letter for letter, choice in zip(LETTERS, texts, strict=False) if choice and choice == wanted]
        if letters:
            return letters[0] if len(letters) == 1 else None
    return None


def _names_another(rest: str, letter: str, choices: tuple[str, ...]) -> bool:
    own = _plain(choices[LETTERS.index(letter)]) if choices else ""
    if own and rest.casefold().startswith(own.casefold()):
        # Of choices that begin alike the longest is meant.
        longer = (_plain(choice) for choice in choices)
        if any(len(choice) > len(own) and rest.startswith(choice) for choice in longer):
            return True
        rest = rest[len(own) :]
    if any(found[0] != letter for found in _OTHER_LETTER.finditer(rest)):
        return True
    others = [_plain(choice).casefold() for i, choice in enumerate(choices) if LETTERS[i] != letter]
    folded = rest.casefold()
    return any(other and _stands_in(other, folded) for other in others)


def _stands_in(phrase: str, text: str) -> bool:
    """Whether the phrase stands in the text as whole words."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def _plain(text: str) -> str:
    """Without markup, quotes and a full stop at the end; blanks as one space; full-width signs as plain ones."""
    text = unicodedata.normalize("NFKC", text)
    text = _LATEX_TEXT.sub(r"\1", text).replace("**", "").replace("\\(", "").replace("\\)", "")
    text = _SPACES.sub(" ", text).strip(" $\"'`*")
    return text.rstrip(" .。!,;:")


def _check_gold(gold: str) -> str | None:
    if parse_choice_gold(gold):
        return None
    return 'is not a letter such as B, or JSON of the form {"answer": "B", "choices": [2 to 26 texts]}'


def _grade(answer: str, gold: str) -> float:
    expected = parse_choice_gold(gold)
    return float(expected is not None and read_choice(answer, expected.choices) == expected.letter)


def _wrong_answer(gold: str) -> str:
    """The next letter; after the last, the first."""
    expected = parse_choice_gold(gold)
    if expected is None:
        return ""
    labels = LETTERS[: len(expected.choices) or 4]
    return labels[(labels.find(expected.letter) + 1) % len(labels)]


VERIFIER = Verifier(_check_gold, _grade, _wrong_answer)
