"""The 25 checkable instructions of IFEval (arXiv:2311.07911), by the ids and arguments of its data.

Own code after the public description. Like the original in what is counted, stricter where it pays for nothing: an
empty placeholder, highlight, bullet, section or postscript, a prompt repeated without an answer, a sentence without a
letter, and JSON without a value do not count. Sentences are told apart by a small rule instead of NLTK's model,
languages by this package's detection instead of langdetect, and a text whose language cannot be told is not accepted.
Every check is linear in the length of the text.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from thinkwright.rewards.verifiers.gold import read_strings

Arguments = dict[str, Any]
RELATIONS = ("at least", "less than")
CONSTRAINED_RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_VISIBLE = re.compile(r"[^\W_]")
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+(?:[-'.\u2019]\w+)*")
# A mark before a blank, with quotes and brackets between; or a mark of a script that puts no blank after it.
_SENTENCE_END = re.compile(
    r"(?<![.!?\u2026])(?P<ending>[.!?\u2026]+)[\"'\u201d\u2019)\]*_]*(?=\s|$)"
    r"|[\u3002\uff01\uff1f\u0964\u0965\u061f\u06d4]"
)
_ABBREVIATIONS = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "e.g", "i.e", "inc", "ltd", "co",
    "u.s", "u.k", "a.m", "p.m", "p.s", "p.p.s",
})  # fmt: skip
_FENCE = re.compile(r"```(?:json|Json|JSON)?")
_POSTSCRIPTS = {"P.S.": re.compile(r"p\.\s?s\."), "P.P.S": re.compile(r"p\.\s?p\.\s?s")}
_LETTERS_ONLY = str.maketrans(dict.fromkeys("\"'`$<>[]{}*_#|\u201c\u201d\u00ab\u00bb\u201e", " "))


@dataclass(frozen=True)
class Constraint:
    """One kind of instruction: whether a text follows it, and the arguments it takes, by name and kind."""

    is_followed: Callable[[str, Arguments], bool]
    arguments: dict[str, Callable[[object], bool]] = field(default_factory=dict[str, Callable[[object], bool]])


def count_words(text: str) -> int:
    """Runs of letters, digits and underscores, as IFEval counts them."""
    return len(_WORD.findall(text))


def count_sentences(text: str) -> int:
    """Stretches with a letter in them that end with a full stop, a question or exclamation mark, or the text.

    The full stop of a common abbreviation or of one initial does not end a sentence, nor does the end of a line.
    """
    count, start = 0, 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.start()]
        last_word = piece[-20:].split()[-1].lower().lstrip("(\"'") if piece[-20:].split() else ""
        is_initial = len(last_word) == 1 and last_word.isalpha() and last_word != "i"
        is_abbreviation = end["ending"] == "." and (is_initial or last_word in _ABBREVIATIONS)
        if not is_abbreviation and _has_letter(piece):
            count += 1
            start = end.end()
    return count + _has_letter(text[start:])


def count_bullets(text: str) -> int:
    """Lines that start with ``*`` (but not ``**``) or ``-`` and say something."""
    lines = (line.strip() for line in text.split("\n"))
    return sum(
        (line.startswith("-") or (line.startswith("*") and not line.startswith("**"))) and _says_something(line)
        for line in lines
    )


def count_highlights(text: str) -> int:
    """``*so*`` and ``**so**``, each within a line and with something between."""
    single = re.findall(r"\*[^\n*]*\*", text)
    double = re.findall(r"\*\*[^\n*]*\*\*", text)
    return sum(bool(part.strip("* ")) for part in (*single, *double))


def count_placeholders(text: str) -> int:
    """``[so]`` within a line."""
    return sum(map(_says_something, re.findall(r"\[[^\[\]\n]*\]", text)))


def count_capital_words(text: str) -> int:
    """Words all of whose letters are capitals, "I" and "A" among them."""
    return sum(map(str.isupper, _TOKEN.findall(text)))


def is_in_language(text: str, language: str) -> bool:
    """Whether most of the text is in the language, whatever its case; quotes and markup count as plain text."""
    from thinkwright.rewards.language import detect_language

    # A text in capitals, or all in quotes, is as readable as any other.
    text = text.lower().translate(_LETTERS_ONLY)
    return _has_letter(text) and detect_language(text, usual=language) == language


def _says_something(text: str) -> bool:
    return _VISIBLE.search(text) is not None


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _holds(count: int, relation: str, bound: int) -> bool:
    return count >= bound if relation == "at least" else count < bound


def _occurrences(text: str, keyword: str) -> int:
    """How often the keyword stands in the text, also inside words, whatever its case."""
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def _has_no_forbidden_word(text: str, arguments: Arguments) -> bool:
    words = arguments["forbidden_words"]
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in words)


def _has_paragraphs(text: str, arguments: Arguments) -> bool:
    """Paragraphs with ``***`` between them; it may also stand before the first and after the last."""
    parts = [part.strip() for part in text.split("***")]
    parts = parts[1:] if parts and not parts[0] else parts
    parts = parts[:-1] if parts and not parts[-1] else parts
    return len(parts) == arguments["num_paragraphs"] and all(map(_says_something, parts))


def _has_first_word(text: str, arguments: Arguments) -> bool:
    """Paragraphs with an empty line between them; the n-th begins with the word."""
    parts = text.split("\n\n")
    num_paragraphs = sum(bool(part.strip()) for part in parts)
    nth: int = arguments["nth_paragraph"]
    if num_paragraphs != arguments["num_paragraphs"] or nth > num_paragraphs or not parts[nth - 1].strip():
        return False
    first = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", first, maxsplit=1)[0].lower() == arguments["first_word"].lower()


def _has_postscript(text: str, arguments: Arguments) -> bool:
    marker = arguments["postscript_marker"]
    pattern = _POSTSCRIPTS.get(marker) or re.compile(re.escape(marker.lower()))
    lowered = text.lower()
    found = list(pattern.finditer(lowered))
    return bool(found) and _says_something(lowered[found[-1].end() :])


def _has_sections(text: str, arguments: Arguments) -> bool:
    splitter = re.escape(arguments["section_spliter"])
    sections = re.split(rf"\s?{splitter}\s?\d+\s?", text)[1:]
    return sum(map(_says_something, sections)) >= arguments["num_sections"]


def _is_json(text: str, _: Arguments) -> bool:
    text = text.strip()
    if fence := _FENCE.match(text):
        text = text[fence.end() :].removesuffix("```").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict | list) and bool(cast("list[Any]", found)) and _says_something(text)


def _has_title(text: str, _: Arguments) -> bool:
    return any(map(_says_something, re.findall(r"<<([^<>\n]+)>>", text)))


def _is_two_responses(text: str, _: Arguments) -> bool:
    parts = [part.strip() for part in text.split("******")]
    parts = parts[1:] if not parts[0] else parts
    parts = parts[:-1] if parts and not parts[-1] else parts
    return len(parts) == 2 and all(map(_says_something, parts)) and parts[0] != parts[1]


def _repeats_prompt(text: str, arguments: Arguments) -> bool:
    prompt, text = arguments["prompt_to_repeat"].strip().lower(), text.strip().lower()
    return text.startswith(prompt) and _says_something(text[len(prompt) :])


def _ends_with(text: str, arguments: Arguments) -> bool:
    return text.strip().strip('"').lower().endswith(arguments["end_phrase"].strip().lower())


def _is_quoted(text: str, _: Arguments) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"' and _says_something(text)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_ordinal(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_relation(value: object) -> bool:
    return value in RELATIONS


def _are_texts(value: object) -> bool:
    return bool(read_strings(value))


CONSTRAINTS: dict[str, Constraint] = {
    "change_case:capital_word_frequency": Constraint(
        lambda text, a: _holds(count_capital_words(text), a["capital_relation"], a["capital_frequency"]),
        {"capital_relation": _is_relation, "capital_frequency": _is_count},
    ),
    "change_case:english_capital": Constraint(lambda text, _: text.isupper() and is_in_language(text, "en")),
    "change_case:english_lowercase": Constraint(lambda text, _: text.islower() and is_in_language(text, "en")),
    "combination:repeat_prompt": Constraint(_repeats_prompt, {"prompt_to_repeat": _is_text}),
    "combination:two_responses": Constraint(_is_two_responses),
    "detectable_content:number_placeholders": Constraint(
        lambda text, a: count_placeholders(text) >= a["num_placeholders"], {"num_placeholders": _is_count}
    ),
    "detectable_content:postscript": Constraint(_has_postscript, {"postscript_marker": _is_text}),
    "detectable_format:constrained_response": Constraint(
        lambda text, _: any(response in text for response in CONSTRAINED_RESPONSES)
    ),
    "detectable_format:json_format": Constraint(_is_json),
    "detectable_format:multiple_sections": Constraint(
        _has_sections, {"section_spliter": _is_text, "num_sections": _is_count}
    ),
    "detectable_format:number_bullet_lists": Constraint(
        lambda text, a: count_bullets(text) == a["num_bullets"], {"num_bullets": _is_count}
    ),
    "detectable_format:number_highlighted_sections": Constraint(
        lambda text, a: count_highlights(text) >= a["num_highlights"], {"num_highlights": _is_count}
    ),
    "detectable_format:title": Constraint(_has_title),
    "keywords:existence": Constraint(
        lambda text, a: all(_occurrences(text, word) for word in a["keywords"]), {"keywords": _are_texts}
    ),
    "keywords:forbidden_words": Constraint(_has_no_forbidden_word, {"forbidden_words": _are_texts}),
    "keywords:frequency": Constraint(
        lambda text, a: _holds(_occurrences(text, a["keyword"]), a["relation"], a["frequency"]),
        {"keyword": _is_text, "relation": _is_relation, "frequency": _is_count},
    ),
    "keywords:letter_frequency": Constraint(
        lambda text, a: _holds(text.lower().count(a["letter"].lower()), a["let_relation"], a["let_frequency"]),
        {"letter": _is_text, "let_relation": _is_relation, "let_frequency": _is_count},
    ),
    "language:response_language": Constraint(
        lambda text, a: is_in_language(text, a["language"]), {"language": _is_text}
    ),
    "length_constraints:nth_paragraph_first_word": Constraint(
        _has_first_word, {"first_word": _is_text, "num_paragraphs": _is_count, "nth_paragraph": _is_ordinal}
    ),
    "length_constraints:number_paragraphs": Constraint(_has_paragraphs, {"num_paragraphs": _is_count}),
    "length_constraints:number_sentences": Constraint(
        lambda text, a: _holds(count_sentences(text), a["relation"], a["num_sentences"]),
        {"relation": _is_relation, "num_sentences": _is_count},
    ),
    "length_constraints:number_words": Constraint(
        lambda text, a: _holds(count_words(text), a["relation"], a["num_words"]),
        {"relation": _is_relation, "num_words": _is_count},
    ),
    "punctuation:no_comma": Constraint(lambda text, _: "," not in text),
    "startend:end_checker": Constraint(_ends_with, {"end_phrase": _is_text}),
    "startend:quotation": Constraint(_is_quoted),
}
