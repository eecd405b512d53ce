"""Programs graded by what they print."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards.sandbox import sandbox_problem
from thinkwright.rewards.verifiers.stdin_stdout import VERIFIER, is_same_output, trimmed_lines


@pytest.fixture
def sandbox() -> None:
    if (problem := sandbox_problem()) is not None:
        pytest.skip(problem)


def gold_of(pairs: dict[str, str], **more: Any) -> str:
    return json.dumps({"inputs": list(pairs), "outputs": list(pairs.values()), **more})


SQUARES = {"2\n": "4\n", "3\n": "9 \n", "4": "16", "5\n": "25"}


@pytest.mark.parametrize(
    ("output", "expected", "are_same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("\n 1 2 \r\n3 \n\n", "1 2\n3\n", True),
        ("1  2", "1 2", True),
        ("1 2\n\n3", "1 2\n3", False),
        ("1\n2", "1 2", False),
        ("0.3333333", "0.33333333", True),
        ("3.3e-1", "0.33", True),
        ("2", "2.0", True),
        ("2.0", "2", False),
        ("0.334", "0.333", False),
        ("1000001", "1000000", False),
        ("1000000.4", "1000000.0", True),
        ("nan", "1.0", False),
        ("inf", "1.0", False),
        ("1e999", "1.0", False),
        ("Yes", "YES", False),
        ("x1.0", "x1.00", False),
        ("1_0.0", "10.0", False),
        ("", "", True),
        ("\x00", "", False),
    ],
)
def test_outputs_are_compared_line_by_line(output: str, expected: str, are_same: bool) -> None:
    assert is_same_output(trimmed_lines(output), trimmed_lines(expected)) is are_same


@given(st.text(alphabet="0123456789.e+- \n", max_size=40), st.text(alphabet="0123456789.e+- \n", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_two_outputs_can_be_compared(left: str, right: str) -> None:
    assert is_same_output(trimmed_lines(left), trimmed_lines(left))
    assert is_same_output(trimmed_lines(left), trimmed_lines(right)) in (True, False)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "program",
    [
        "print(int(input()) ** 2)",
        "import sys\nfor line in sys.stdin: print(int(line) ** 2)",
        "def main():\n    print(int(open(0).read()) ** 2, end='')\nif __name__ == '__main__': main()",
        "import sys; print(int(sys.stdin.buffer.readline()) ** 2); sys.exit(0)",
        "import os; os.write(1, b'%d' % int(os.read(0, 99)) ** 2)".replace(
            "int(os.read(0, 99)) ** 2", "(int(os.read(0, 99)) ** 2)"
        ),
        "import sys\ninput = sys.stdin.readline\nsys.stdout.write(str(int(input()) ** 2) + '\\n')\nexit()",
        "```python\nfrom math import *\nprint(floor(int(input()) ** 2))\n```",
    ],
)
def test_right_programs_are_paid(program: str) -> None:
    assert VERIFIER.grade(program, gold_of(SQUARES)) == 1.0


@pytest.mark.usefixtures("sandbox")
def test_all_or_nothing_unless_the_gold_pays_shares() -> None:
    half = "x = int(input())\nprint(x ** 2 if x < 4 else 1 / 0)"
    assert VERIFIER.grade(half, gold_of(SQUARES)) == 0.0
    assert VERIFIER.grade(half, gold_of(SQUARES, credit="share")) == 0.5


@pytest.mark.usefixtures("sandbox")
def test_one_endless_test_costs_its_own_time() -> None:
    slow = "x = int(input())\nwhile x == 3: pass\nprint(x ** 2)"
    assert VERIFIER.grade(slow, gold_of(SQUARES, credit="share", seconds=1)) == 0.75


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("outputs", [SQUARES, {"1": "", "2": "\n"}])
def test_the_wrong_answer_is_wrong(outputs: dict[str, str]) -> None:
    gold = gold_of(outputs)
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@pytest.mark.parametrize(
    "gold",
    ["", "[]", "{}", json.dumps({"inputs": [""], "outputs": []}), json.dumps({"inputs": [], "outputs": []}),
     json.dumps({"inputs": [1], "outputs": ["1"]}), gold_of(SQUARES, seconds="2"), gold_of(SQUARES, seconds=1e9),
     gold_of(SQUARES, credit=1), gold_of({"1": "9" * 2**21})],
)  # fmt: skip
def test_a_gold_that_cannot_be_used_has_a_reason(gold: str) -> None:
    assert VERIFIER.check_gold(gold)


def test_every_gold_of_code_contests_can_be_graded(data_folder: Path) -> None:
    with gzip.open(data_folder / "code_contests_165/test.jsonl.gz", "rt", encoding="utf-8") as lines:
        golds = [json.dumps(json.loads(line)["tests"]) for line in lines]
    assert len(golds) == 165
    assert not [problem for problem in map(VERIFIER.check_gold, golds) if problem]


@pytest.mark.usefixtures("sandbox")
def test_what_a_program_prints_at_its_exit_counts() -> None:
    program = "import atexit\nn = int(input())\natexit.register(lambda: print(n * n))\n"
    assert VERIFIER.grade(program, gold_of(SQUARES)) == 1.0
    assert VERIFIER.grade(program + "raise SystemExit", gold_of(SQUARES)) == 1.0
    assert VERIFIER.grade(program + "raise SystemExit(1)", gold_of(SQUARES)) == 0.0


def test_no_program_is_wrong() -> None:
    gold = json.dumps({"kind": "stdin_stdout", "inputs": ["1"], "outputs": [""]})
    assert VERIFIER.grade("", gold) == VERIFIER.grade("```python\n \n```", gold) == 0.0
