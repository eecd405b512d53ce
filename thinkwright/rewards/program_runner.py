"""Judges one-line programs: checked word by word, then run on hidden inputs in one isolated process a call.

Two walls stand between a model's program and a reward it did not earn. First, only arithmetic on ``x`` is let through
(``is_allowed_program``): no name but ``x`` and five functions, no attribute, no text, no collection, no loop, no power
that could grow large, so whatever runs ends at once and in little memory. Second, ``program_worker.py`` runs it in a
confined process, whose docstring says what that does not cover. It is given inputs only: a program past both walls
could forge the line that comes back, but not know the values it must hold. That line counts only as one line of plain
JSON numbers of exactly the expected types.
"""

import ast
import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from thinkwright.errors import GraderError

Number = int | float | bool
Test = tuple[Number, Number]
"""An argument and the value expected for it."""

MAX_SOURCE_CHARACTERS = 200
MAX_EXPONENT = 10
CALLS_OF_ONE_ARGUMENT = ("abs", "int", "round")  # round's second argument could ask for a huge power of ten
CALLS_OF_SOME_ARGUMENTS = ("max", "min")
# What is let through ends in microseconds, so only a stalled machine comes near these two.
PROGRAM_WALL_SECONDS = 10.0
START_SECONDS = 60.0
_WORKER = Path(__file__).resolve().with_name("program_worker.py")
_CHARACTERS = re.compile(r"[A-Za-z0-9_+\-*/%()<>=!.,:&|^~ ]+")
_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor,
)  # fmt: skip
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def judge_programs(jobs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether each program gives every expected value; one verdict a job, in order.

    A job is (answer, gold): the program as the model wrote it, and the tests as ``parse_tests`` reads them. A job whose
    gold cannot be read is never right. Equal jobs are run once. Raises GraderError if the judging itself fails.
    """
    to_run: dict[tuple[str, str], tuple[Test, ...]] = {}
    for answer, gold in dict.fromkeys(jobs):
        tests = parse_tests(gold)
        if tests is not None and is_allowed_program(answer):
            to_run[answer, gold] = tests
    lines = run_programs(
        [(answer.strip(), [argument for argument, _ in tests]) for (answer, _), tests in to_run.items()]
    )
    right = {job for (job, tests), line in zip(to_run.items(), lines, strict=True) if _has_expected_values(line, tests)}
    return [job in right for job in jobs]


def parse_tests(gold: str) -> tuple[Test, ...] | None:
    """The tests in ``gold``, a JSON list of [argument, expected] pairs of numbers; None if it is anything else."""
    rows = _read_json_list(gold)
    if not rows:
        return None
    tests: list[Test] = []
    for row in rows:
        pair = cast("list[Any]", row) if isinstance(row, list) else []
        if len(pair) != 2 or not all(isinstance(value, int | float) for value in pair):
            return None
        tests.append((pair[0], pair[1]))
    return tuple(tests)


def is_allowed_program(source: str) -> bool:
    """True for ``lambda x: ...`` of at most 200 characters that is arithmetic on ``x`` and nothing else."""
    source = source.strip()
    if len(source) > MAX_SOURCE_CHARACTERS or not _CHARACTERS.fullmatch(source):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return isinstance(function, ast.Lambda) and _takes_x_alone(function.args) and _is_arithmetic(function.body)


def run_programs(programs: Sequence[tuple[str, Sequence[Number]]]) -> list[str]:
    """What each (source, arguments) left when run: "[value, ...]" and a newline, or less if the program failed.

    All programs of one call share one worker process, at about a millisecond each. Raises GraderError, naming what
    was waited for, if the worker dies, answers nonsense, or takes longer than a minute and a second a program.
    """
    if not programs:
        return []
    request = {
        "calls": CALLS_OF_ONE_ARGUMENT + CALLS_OF_SOME_ARGUMENTS,
        "wall_seconds": PROGRAM_WALL_SECONDS,
        "programs": programs,
    }
    deadline_seconds = START_SECONDS + len(programs)
    waited_for = f"{_WORKER.name} to run {len(programs)} programs"
    try:
        with tempfile.TemporaryDirectory(prefix="thinkwright-programs-") as folder:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(_WORKER)],
                input=json.dumps(request).encode(),
                capture_output=True,
                timeout=deadline_seconds,
                env={},
                cwd=folder,
                start_new_session=True,
            )
    except subprocess.TimeoutExpired:
        raise GraderError(
            f"waited {deadline_seconds:.0f} s for {waited_for}; free the machine if overloaded, then resume the run"
        ) from None
    except OSError as error:
        raise GraderError(f"could not start {waited_for}: {error}; mend that and resume the run") from error
    lines = _read_json_list(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or lines is None or len(lines) != len(programs):
        last_words = done.stderr.decode(errors="replace").strip()[-500:] or "it said nothing"
        raise GraderError(f"expected {waited_for}, but it ended with status {done.returncode}: {last_words}")
    return [str(line) for line in lines]


def _takes_x_alone(arguments: ast.arguments) -> bool:
    return ast.unparse(arguments) == "x"


def _is_arithmetic(node: ast.expr) -> bool:
    """True if the expression is built of numbers, ``x``, operators, conditions and the allowed calls alone."""
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, float, bool)
        case ast.Name(id=name):
            return name == "x"
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _is_small(exponent) and not _has_power(base) and _is_arithmetic(base)
        case ast.BinOp(left=left, op=operator, right=right):
            return isinstance(operator, _OPERATORS) and _is_arithmetic(left) and _is_arithmetic(right)
        case ast.UnaryOp(operand=operand):
            return _is_arithmetic(operand)
        case ast.BoolOp(values=values):
            return all(map(_is_arithmetic, values))
        case ast.Compare(left=left, ops=operators, comparators=others):
            are_allowed = all(isinstance(operator, _COMPARISONS) for operator in operators)
            return are_allowed and all(map(_is_arithmetic, [left, *others]))
        case ast.IfExp(test=test, body=body, orelse=other):
            return all(map(_is_arithmetic, (test, body, other)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            is_known = name in CALLS_OF_SOME_ARGUMENTS or (name in CALLS_OF_ONE_ARGUMENT and len(arguments) == 1)
            return is_known and all(map(_is_arithmetic, arguments))
        case _:
            return False


def _is_small(exponent: ast.expr) -> bool:
    if not isinstance(exponent, ast.Constant) or not isinstance(exponent.value, int | float):
        return False
    return exponent.value <= MAX_EXPONENT


def _has_power(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Pow) for part in ast.walk(node))


def _has_expected_values(line: str, tests: Sequence[Test]) -> bool:
    if line.count("\n") != 1 or not line.endswith("\n"):
        return False
    values = _read_json_list(line)
    if values is None or len(values) != len(tests):
        return False
    return all(type(v) is type(expected) and v == expected for v, (_, expected) in zip(values, tests, strict=True))


def _read_json_list(text: str) -> list[Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("list[Any]", found) if isinstance(found, list) else None
