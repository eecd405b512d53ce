"""Grades Python functions by hidden asserts, of which the program's side runs in a sandbox and the other side here.

The gold is JSON: ``{"kind": "asserts", "tests": [assert, ...], "entry_point": name, "setup": code, "seconds": s,
"credit": "all" or "share"}``; ``tests`` may also be one text with the asserts, or with LeetCode's function ``check``.
``setup`` is trusted code: it runs before the program, or after it if it uses names that it does not define.
"""

import ast
import builtins
import contextlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from thinkwright.rewards.sandbox import MAX_PROGRAM_CHARACTERS, ProgramTests, run_program, sandbox_problem
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.asserts import CANDIDATE, SplitTest, holds, split_tests
from thinkwright.rewards.verifiers.code_answer import extract_program
from thinkwright.rewards.verifiers.gold import problem_of
from thinkwright.rewards.verifiers.plain_values import decode_value

DEFAULT_SECONDS = 4.0
MAX_SECONDS = 20.0
DEADLINE_SECONDS = 60.0
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(?:\(\)\.[A-Za-z_]\w*)?", re.ASCII)
# Modules of the standard library that programs import most: loaded before the first test, not again in each.
_COMMON_MODULES = (
    "re", "math", "collections", "itertools", "functools", "heapq", "bisect", "typing", "string", "random", "datetime",
    "copy", "operator", "sys", "dataclasses", "contextlib", "enum", "fractions", "decimal", "statistics", "json",
)  # fmt: skip


@dataclass(frozen=True)
class FunctionsGold:
    """A gold as it is used."""

    tests: tuple[SplitTest, ...]
    entry_point: str
    before: str
    after: str
    seconds: float
    is_shared: bool


@lru_cache(maxsize=64)  # a group's answers come one after the other and share their gold
def parse_gold(gold: str) -> FunctionsGold:
    """The gold. Raises ValueError with what is wrong with it."""
    found = parse_object(gold)
    if found.get("kind") != "asserts":
        raise ValueError('is not of the kind "asserts"')
    sources, entry_point, setup = found.get("tests"), found.get("entry_point") or "", found.get("setup") or ""
    if isinstance(sources, str):
        sources = [sources]
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in cast("list[Any]", sources)):
        raise ValueError("has no list of tests")
    if not isinstance(entry_point, str) or (entry_point and not _ENTRY_POINT.fullmatch(entry_point)):
        raise ValueError(f"has an entry point that is neither a name nor Class().name: {entry_point!r}")
    if not isinstance(setup, str):
        raise ValueError("has a setup that is not text")
    called = CANDIDATE if "." in entry_point else entry_point
    tests = [test for source in cast("list[str]", sources) for test in split_tests(source, called)]
    if not tests:
        raise ValueError("has no tests")
    needs_program = bool(_undefined_names(setup))
    return FunctionsGold(
        tests=tuple(tests),
        entry_point=entry_point,
        before="" if needs_program else setup,
        after=setup if needs_program else "",
        seconds=parse_seconds(found),
        is_shared=parse_credit(found),
    )


def parse_object(gold: str) -> dict[str, Any]:
    """The JSON object that a gold is. Raises ValueError if it is none."""
    try:
        found = json.loads(gold)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
    return cast("dict[str, Any]", found)


def parse_seconds(found: dict[str, Any]) -> float:
    """Processor time a test may take."""
    seconds = found.get("seconds", DEFAULT_SECONDS)
    if type(seconds) not in (int, float) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"has seconds that are not a number above 0 and up to {MAX_SECONDS:.0f}")
    return float(seconds)


def parse_credit(found: dict[str, Any]) -> bool:
    """Whether the share of tests that pass is paid, not only all of them."""
    credit = found.get("credit", "all")
    if credit not in ("all", "share"):
        raise ValueError('has a credit other than "all" and "share"')
    return credit == "share"


def grade(answer: str, gold: str) -> float:
    """1 if every assert holds, else 0; with credit "share" the share of those that hold."""
    expected = parse_gold(gold)
    program = extract_program(answer, f"{expected.entry_point}(" if expected.entry_point else expected.tests[0].call)
    if not program.strip() or len(program) > MAX_PROGRAM_CHARACTERS:
        return 0.0
    num_right = 0
    outcomes = run_program(
        ProgramTests(
            program,
            calls=[test.call for test in expected.tests],
            before=expected.before,
            after=expected.after,
            entry_point=expected.entry_point,
            seconds=expected.seconds,
            modules=common_modules(program),
        )
    )
    with contextlib.closing(outcomes):
        for test, outcome in zip(expected.tests, outcomes, strict=True):
            is_right = outcome.status == "done" and _is_right(test, outcome.body)
            num_right += is_right
            if not is_right and not expected.is_shared:
                return 0.0
    return num_right / len(expected.tests)


def common_modules(program: str) -> list[str]:
    """The common modules that the program imports; one too many costs some time and changes nothing."""
    named = "|".join(_COMMON_MODULES)
    found = set(re.findall(rf"\bfrom\s+({named})\b", program))
    for modules in re.findall(r"\bimport\b([^#\n]*)", program):
        found |= set(re.findall(rf"\b({named})\b", modules))
    return [name for name in _COMMON_MODULES if name in found]


def _is_right(test: SplitTest, body: bytes) -> bool:
    try:
        value = decode_value(body)
    except ValueError:
        return False
    return holds(test.condition, value)


def _undefined_names(code: str) -> set[str]:
    """The names that code uses and does not define. Raises ValueError if it is not Python."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"has a setup that is not Python: {error}") from None
    used: set[str] = set()
    defined = set(dir(builtins))
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.alias(name="*"):
                return set()  # any name may come from there
            case ast.alias(name=name, asname=other):
                defined.add((other or name).partition(".")[0])
            case _:
                pass
    return used - defined


def _check_gold(gold: str) -> str | None:
    return problem_of(parse_gold, gold)


def _wrong_answer(gold: str) -> str:
    """A program that gives the same value for everything, one that some test is not content with."""
    expected = parse_gold(gold)
    values: tuple[Any, ...] = (None, "no answer", 0, [])
    wrong = next((v for v in values if not all(holds(test.condition, v) for test in expected.tests)), None)
    owner, _, method = expected.entry_point.rpartition("().")
    if owner:
        return f"```python\nclass {owner}:\n    def {method}(self, *_, **__):\n        return {wrong!r}\n```"
    name = method or expected.tests[0].call.partition("(")[2].partition("(")[0]
    return f"```python\ndef {name}(*_, **__):\n    return {wrong!r}\n```"


VERIFIER = Verifier(_check_gold, grade, _wrong_answer, DEADLINE_SECONDS, machine_problem=sandbox_problem)
