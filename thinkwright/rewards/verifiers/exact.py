"""The same text, or one of several that are accepted."""

import re
import unicodedata

from thinkwright.rewards.extraction import extract_answer
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.choice import LETTERS, read_choice
from thinkwright.rewards.verifiers.gold import read_gold_object, read_strings

MAX_REPLY_CHARACTERS = 200_000
_LETTER_IN_PARENTHESES = re.compile(r"\(([A-Z])\)")
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|texttt)\{([^{}]*)\}")
_OPPOSITES = {"true": "False", "false": "True", "yes": "no", "no": "yes", "valid": "invalid", "invalid": "valid"}
_MINUS = str.maketrans({"−": "-", "–": "-", "’": "'", "‘": "'", "“": '"', "”": '"'})


def parse_exact_gold(gold: str) -> list[str] | None:
    """The texts that are accepted: the gold itself, or those of JSON ``{"answers": [texts]}``; None if one is blank."""
    found = read_gold_object(gold)
    answers = [gold] if found is None or "answers" not in found else read_strings(found["answers"])
    return answers if answers and all(map(normal_text, answers)) else None


def normal_text(text: str) -> str:
    """What is compared: NFKC, without case, blanks as one space, no quotes around and no punctuation after.

    Of a text without letters and digits, such as a row of brackets, every sign counts and no blank does.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).translate(_MINUS).casefold().split())
    if not any(map(str.isalnum, text)):
        return text.replace(" ", "")
    return text.strip("\"'`*$ ").rstrip(".!?,;:。、\"'`*$ ")


def is_exact(answer: str, accepted: list[str]) -> bool:
    """Whether the whole answer, or the one it ends on ("the answer is", a box), is one of the accepted texts.

    ``B`` and "B) text" are also ``(B)``.
    """
    if len(answer) > MAX_REPLY_CHARACTERS:
        return False
    wanted = set(map(normal_text, accepted))
    if normal_text(answer) in wanted:
        return True
    final = extract_answer(answer)
    # A box holds LaTeX: text in a macro, and braces with a backslash before them.
    bare = _LATEX_TEXT.sub(r"\1", final)
    readings = (final, bare, bare.replace("\\{", "{").replace("\\}", "}"))
    if any(normal_text(reading) in wanted for reading in readings):
        return True
    letters = {match[1] for match in map(_LETTER_IN_PARENTHESES.fullmatch, accepted) if match}
    return bool(letters) and read_choice(answer) in letters


def _check_gold(gold: str) -> str | None:
    return None if parse_exact_gold(gold) else 'is blank, or not JSON of the form {"answers": [texts]}'


def _grade(answer: str, gold: str) -> float:
    accepted = parse_exact_gold(gold)
    return float(accepted is not None and is_exact(answer, accepted))


def _wrong_answer(gold: str) -> str:
    """The opposite, another letter, the next number, or the same text with a word more; never an accepted text."""
    accepted = parse_exact_gold(gold) or [""]
    first = accepted[0].strip()
    if match := _LETTER_IN_PARENTHESES.fullmatch(first):
        wrong = f"({LETTERS[(LETTERS.index(match[1]) + 1) % 4]})"
    elif re.fullmatch(r"-?[0-9]{1,18}", first):
        wrong = str(int(first) + 1)
    else:
        wrong = _OPPOSITES.get(normal_text(first), f"{first} not")
    while is_exact(wrong, accepted):
        wrong += " not"
    return wrong


VERIFIER = Verifier(_check_gold, _grade, _wrong_answer)
