"""Grades programs that read standard input and write standard output, run in a sandbox and compared here.

The gold is JSON: ``{"inputs": [text, ...], "outputs": [text, ...], "seconds": s, "credit": "all" or "share"}``.
"""

import contextlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from thinkwright.rewards.sandbox import (
    MAX_PROGRAM_CHARACTERS,
    MAX_TEST_BYTES,
    ProgramTests,
    run_program,
    sandbox_problem,
)
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.code_answer import extract_program
from thinkwright.rewards.verifiers.functions import common_modules, parse_credit, parse_object, parse_seconds
from thinkwright.rewards.verifiers.gold import problem_of

FLOAT_TOLERANCE = 1e-6
MAX_TESTS = 500
MAX_INPUT_CHARACTERS = 16 * 2**20
DEADLINE_SECONDS = 60.0
_DECIMAL = re.compile(r"[-+]?[0-9]{1,40}(?:\.[0-9]{1,100})?(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class ScriptGold:
    """A gold as it is used."""

    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, ...], ...]
    """Each as its lines, trimmed."""
    seconds: float
    is_shared: bool


@lru_cache(maxsize=64)  # a group's answers come one after the other and share their gold
def parse_gold(gold: str) -> ScriptGold:
    """The gold. Raises ValueError with what is wrong with it."""
    found = parse_object(gold)
    inputs, outputs = _texts(found, "inputs"), _texts(found, "outputs")
    if len(inputs) != len(outputs) or not 0 < len(inputs) <= MAX_TESTS:
        raise ValueError(f"does not have an output for each of 1 to {MAX_TESTS} inputs")
    if sum(map(len, inputs)) > MAX_INPUT_CHARACTERS or max(map(len, outputs)) > MAX_TEST_BYTES // 4:
        raise ValueError("has inputs or outputs that are too long")
    return ScriptGold(
        inputs=tuple(inputs),
        outputs=tuple(trimmed_lines(output) for output in outputs),
        seconds=parse_seconds(found),
        is_shared=parse_credit(found),
    )


def grade(answer: str, gold: str) -> float:
    """1 if the output is right for every input, else 0; with credit "share" the share of inputs."""
    expected = parse_gold(gold)
    program = extract_program(answer)
    if not program.strip() or len(program) > MAX_PROGRAM_CHARACTERS:
        return 0.0
    num_right = 0
    tests = ProgramTests(program, inputs=expected.inputs, seconds=expected.seconds, modules=common_modules(program))
    with contextlib.closing(run_program(tests)) as outcomes:
        for lines, outcome in zip(expected.outputs, outcomes, strict=True):
            output = outcome.body.decode(errors="replace")
            is_right = outcome.status == "done" and is_same_output(trimmed_lines(output), lines)
            num_right += is_right
            if not is_right and not expected.is_shared:
                return 0.0
    return num_right / len(expected.inputs)


def trimmed_lines(text: str) -> tuple[str, ...]:
    """The lines without white space around them, without the empty ones before and after all others."""
    return tuple(line.strip() for line in text.strip().split("\n"))


def is_same_output(lines: tuple[str, ...], expected: tuple[str, ...]) -> bool:
    """The same lines; where an expected word is a number with a decimal point, a close number will do."""
    if lines == expected:
        return True
    if len(lines) != len(expected):
        return False
    return all(got == line or _is_same_line(got, line) for got, line in zip(lines, expected, strict=True))


def _is_same_line(line: str, expected: str) -> bool:
    got, words = line.split(), expected.split()
    return len(got) == len(words) and all(map(_is_same_word, got, words))


def _is_same_word(word: str, expected: str) -> bool:
    if word == expected:
        return True
    if "." not in expected or not _DECIMAL.fullmatch(expected) or not _DECIMAL.fullmatch(word):
        return False
    return math.isclose(float(word), float(expected), rel_tol=FLOAT_TOLERANCE, abs_tol=FLOAT_TOLERANCE)


def _texts(found: dict[str, Any], key: str) -> list[str]:
    texts = found.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in cast("list[Any]", texts)):
        raise ValueError(f"has no list of texts {key}")
    return cast("list[str]", texts)


def _check_gold(gold: str) -> str | None:
    return problem_of(parse_gold, gold)


def _wrong_answer(gold: str) -> str:
    """A program that prints nothing, or one word where nothing is what is expected."""
    is_nothing = all(lines == ("",) for lines in parse_gold(gold).outputs)
    return "```python\nprint('no answer')\n```" if is_nothing else "```python\npass\n```"


VERIFIER = Verifier(_check_gold, grade, _wrong_answer, DEADLINE_SECONDS, machine_problem=sandbox_problem)
