"""Every verifier by the name that prompts call it. Each is small, and loads what is heavy when it first grades."""

from collections.abc import Sequence
from dataclasses import replace

from thinkwright.rewards.extraction import open_box
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers import (
    choice,
    conduct,
    countdown,
    exact,
    functions,
    instructions,
    numbers,
    one_line_program,
    reasoning_gym,
    refusal,
    stdin_stdout,
    structured,
    truth_assignment,
    words,
)
from thinkwright.rewards.verifiers.math import verifier as math


def _from_box(verifier: Verifier) -> Verifier:
    """The verifier for an answer in a box, or a bare one: the template ``boxed`` hands over the whole reply."""
    grade_open, grade_many_open = verifier.grade, verifier.grade_many

    def grade(answer: str, gold: str) -> float:
        return grade_open(open_box(answer), gold)

    def grade_many(jobs: Sequence[tuple[str, str]]) -> list[float]:
        return grade_many_open([(open_box(answer), gold) for answer, gold in jobs]) if grade_many_open else []

    return replace(verifier, grade=grade, grade_many=grade_many if grade_many_open else None)


# Those that are not read from a box here look for it themselves, or judge the reply as a whole.
VERIFIERS: dict[str, Verifier] = {
    "number": _from_box(numbers.NUMBER),
    "words": _from_box(words.WORDS),
    "word_set": _from_box(words.WORD_SET),
    "countdown": countdown.VERIFIER,
    "program": _from_box(one_line_program.VERIFIER),
    "math": math.VERIFIER,
    "functions": functions.VERIFIER,
    "stdin_stdout": stdin_stdout.VERIFIER,
    "truth_assignment": _from_box(truth_assignment.VERIFIER),
    "choice": choice.VERIFIER,
    "exact": exact.VERIFIER,
    "structured": structured.VERIFIER,
    "instructions": instructions.VERIFIER,
    "conduct": conduct.VERIFIER,
    "refusal": _from_box(refusal.VERIFIER),
    "reasoning_gym": _from_box(reasoning_gym.VERIFIER),
}
