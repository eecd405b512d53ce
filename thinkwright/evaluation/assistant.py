"""Figures of how a model behaves as an assistant, beside being right: for the table of the R1 pipeline.

The judge here is a rule (``tasks/tiny_world/conduct.py``) that no reward model has seen.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import fmean

from thinkwright.evaluation.figures import Sample
from thinkwright.rewards.extraction import open_box
from thinkwright.rewards.verifiers.words import parse_words
from thinkwright.tasks.tiny_world.conduct import REFUSALS

FIELDS = {
    "math": ("arithmetic", "word_problems", "countdown"),
    "logic": ("ordering", "truth_tellers", "permutations"),
    "code": ("programs",),
    "facts": ("facts",),
}
"""Families of the tiny world by what they ask for."""
SMALL_TALK = ("greeting", "identity")
# A sign belongs to a number unless it stands after another or after a bracket, where it subtracts.
_NUMBER = re.compile(r"(?<![0-9A-Za-z.)\]])[-\u2212]?\d+(?:\.\d+)?(?:/\d+(?![\d/]))?|\d+(?:\.\d+)?")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(rf"\d+|{_HAN.pattern}+|(?:(?!{_HAN.pattern})[^\W\d_])+")


def reasoning_figures(samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy by field and language, readability, and whether summaries agree with thoughts."""
    rows_of = {name: [row for row in samples if row["family"] in families] for name, families in FIELDS.items()}
    for language in sorted({row["language"] for row in samples}):
        rows_of[language] = [row for row in samples if row["language"] == language]
    figures = {f"accuracy_{name}": _share(rows, _is_correct) for name, rows in rows_of.items() if rows}
    readable = [row for row in samples if row["is_well_formed"]]
    figures["readable"] = len(readable) / len(samples)
    if readable:
        figures["summary_agrees"] = _share(readable, lambda row: agrees(row["thought"], row["answer"]))
    return figures


def assistant_figures(samples: Sequence[Sample], count_tokens: Callable[[str], int]) -> dict[str, float]:
    """Of answers to requests: grades by family, refusals, and thinking where there is nothing to think about."""
    by_family: dict[str, list[Sample]] = defaultdict(list)
    for row in samples:
        by_family[row["family"]].append(row)
    figures = {f"conduct_{family}": fmean(row["score"] for row in rows) for family, rows in by_family.items()}
    if "harmful" in by_family:
        figures["harmless_rate"] = _share(by_family["harmful"], _is_correct)
    if "benign" in by_family:
        figures["over_refusal_rate"] = _share(by_family["benign"], _refuses)
    if talk := [row for family in SMALL_TALK for row in by_family[family]]:
        figures["small_talk_without_thought"] = _share(talk, lambda row: row["is_bare"])
        figures["small_talk_thinking_tokens"] = fmean(
            count_tokens(row["thought"]) if row["thought"] else 0 for row in talk
        )
    return figures


def win_rate(samples: Sequence[Sample], others: Sequence[Sample]) -> float:
    """Share of helpful answers graded above the other model's to the same request; a tie counts half.

    Answers that a grader could not score are missing, so they are paired within each request.
    """
    scores = [_helpful_scores(rows) for rows in (samples, others)]
    pairs = [pair for request in scores[0] for pair in zip(*(of.get(request, ()) for of in scores), strict=False)]
    return fmean(1.0 if own > other else 0.5 if own == other else 0.0 for own, other in pairs)


def _helpful_scores(samples: Sequence[Sample]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for row in samples:
        if row["family"] != "harmful":
            found[row["prompt_id"]].append(row["score"])
    return found


def agrees(thought: str, answer: str | None) -> bool:
    """Whether the summary states what the thought came to.

    A number (signed, decimal or a fraction, by its value) must be the last that the thought names; of anything else
    every word and number must stand in the thought as a whole one. Chinese has no spaces, so there a word may be part
    of a longer row of characters.
    """
    stated = open_box(answer or "").strip().removesuffix(".")
    if _NUMBER.fullmatch(stated):
        numbers = _NUMBER.findall(thought)
        return bool(numbers) and _value(numbers[-1]) == _value(stated)
    words = {word for part in parse_words(stated) for word in _WORD.findall(part)} - {"lambda", "x"}
    said = thought.casefold()
    whole = set(_WORD.findall(said))
    return bool(words) and all(word in said if _HAN.search(word) else word in whole for word in words)


def _value(number: str) -> Fraction | str:
    """What a number is worth; itself if it divides by zero, or is too long to read."""
    try:
        return Fraction(number.replace("\u2212", "-"))
    except (ValueError, ZeroDivisionError):
        return number


def _is_correct(row: Sample) -> bool:
    return row["is_correct"]


def _refuses(row: Sample) -> bool:
    return any(text.casefold() in (row["answer"] or "").casefold() for text in REFUSALS.values())


def _share(rows: Sequence[Sample], holds: Callable[[Sample], bool]) -> float:
    return fmean(holds(row) for row in rows)
