"""A one-line program of ``x``, run on hidden arguments (``program_runner.py`` says what is let through)."""

from collections.abc import Sequence

from thinkwright.rewards.program_runner import PROGRAM_WALL_SECONDS, judge_programs, parse_tests
from thinkwright.rewards.verifier import Verifier


def _check_gold(gold: str) -> str | None:
    return None if parse_tests(gold) else "is not a JSON list of [argument, expected] pairs of numbers"


def _grade(answer: str, gold: str) -> float:
    return float(judge_programs([(answer, gold)])[0])


def _grade_many(jobs: Sequence[tuple[str, str]]) -> list[float]:
    """All programs share one isolated process, whose start costs more than they do."""
    return [float(is_right) for is_right in judge_programs(jobs)]


def _wrong_answer(gold: str) -> str:
    """A program whose value for the first argument is one too many."""
    tests = parse_tests(gold) or ((0, 0),)
    return f"lambda x: {tests[0][1] + 1!r}"


VERIFIER = Verifier(_check_gold, _grade, _wrong_answer, PROGRAM_WALL_SECONDS + 5.0, _grade_many)
