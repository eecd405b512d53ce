"""Countdown and the game of 24: any right expression counts, nothing else does."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards.verifiers.countdown import VERIFIER, solve

GOLD = json.dumps({"numbers": [3, 3, 8, 2], "target": 9})
TWENTY_FOUR = json.dumps({"numbers": [8, 3, 8, 3], "target": 24})


@pytest.mark.parametrize(
    "answer",
    ["3*8/2-3", "3×8÷2−3", "(3 × 8) ÷ 2 − 3 = 9", "$3 \\times 8 / 2 - 3$", "\\boxed{3 \\cdot 8 \\div 2 - 3}",
     "I multiply first. The answer is 3*8/2-3.", "\\boxed{\\frac{3*8}{2}-3 = 9}", "（3*8）/2-3＝9",
     "\\left(3*8\\right)/2-3",
     "\\(3*8/2-3\\)", "\\[3*8/2-3 = 9\\]", "`3*8/2-3`", "**3*8/2-3**", "3*8/2-3.", "3*8/2-3;",
     "3*(8/2)-3", "First \\boxed{3+3+8+2}, no: \\boxed{3*8/2-3}"],
)  # fmt: skip
def test_an_expression_may_be_written_in_many_ways(answer: str) -> None:
    assert VERIFIER.grade(answer, GOLD) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["9", "3*8/2-3=10", "3*8/2-3=9=9", "3*8/2-3 or 9", "-3+3*8/2", "3--3+8-2", "+3*8/2-3", "3*8//2-3", "3**2+8-3+3",
     "3^2+8-3+3", "38/2-3", "33-8*2-8", "3*8/2-3+0", "3*8/2-3*1", "3 8/2-3 3", "3*8/(2-2)-3", "(3*8/2-3", "3.0*8/2-3",
     "3*8/2-3#", "3*8/2-3\x00", "³*8/2-3", "٣*8/2-3", "\\boxed{9}", "\\boxed{3*8/2-3} \\boxed{9}",
     "3*8/2-3\n3*8/2-3", "[3*8]/2-3", "3*8/2-3, 3+3+8+2", "9 = 3*8/2-3", "1e0*9", "3(8)/2-3", "3_3"],
)  # fmt: skip
def test_what_is_not_one_right_expression_earns_nothing(answer: str) -> None:
    assert VERIFIER.grade(answer, GOLD) == 0.0


@pytest.mark.parametrize(
    ("answer", "score"),
    [("8/(3-8/3)", 1.0), ("8/(3-8/3)=24", 1.0), ("3*8+8-8", 0.0), ("3*8", 0.0), ("3*8*3/3+8-8", 0.0), ("8*3", 0.0)],
)
def test_a_number_given_twice_is_used_twice_and_fractions_are_exact(answer: str, score: float) -> None:
    assert VERIFIER.grade(answer, TWENTY_FOUR) == score


@pytest.mark.parametrize(
    "gold",
    ["", "9", "[3, 4]", '{"numbers": [], "target": 3}', '{"numbers": [3, "4"], "target": 7}',
     '{"numbers": [3, 4], "target": true}', '{"numbers": [3, -4], "target": -1}', '{"target": 3}', "[" * 100_000],
)  # fmt: skip
def test_a_gold_that_cannot_be_read_has_a_reason_and_no_right_answer(gold: str) -> None:
    assert VERIFIER.check_gold(gold)
    assert VERIFIER.grade("3+4", gold) == 0.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(-10, 60))
def test_what_the_solver_finds_is_right_and_the_wrong_answer_wrong(numbers: list[int], target: int) -> None:
    gold = json.dumps({"numbers": numbers, "target": target})
    solution = solve(numbers, target)
    assert solution is None or VERIFIER.grade(solution, gold) == 1.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([*"0123456789+-*/()= .,×÷−^\\{}", "boxed", "frac", "answer is "])).map("".join))
def test_any_text_that_pays_is_an_expression_of_the_given_numbers(answer: str) -> None:
    if VERIFIER.grade(answer, GOLD):
        assert sorted(character for character in answer if character.isdigit()) >= ["2", "3", "3", "8"]


@pytest.mark.parametrize("numbers", [[1, 1, 1, 1], [5], [7, 7, 7]])
def test_a_puzzle_without_a_solution_has_none(numbers: list[int]) -> None:
    assert solve(numbers, 24) is None


@pytest.mark.parametrize("piece", ["(", "9*", "1+", "\\frac{", "9**", "=", " ", "{", "answer is ", "٣", "\\"])
def test_a_long_answer_is_refused_at_once(piece: str, cpu_seconds: Callable[[], float]) -> None:
    before = cpu_seconds()
    assert VERIFIER.grade(piece * (190_000 // len(piece)), GOLD) == 0.0
    assert cpu_seconds() - before < 5


@pytest.mark.parametrize(("name", "num_rows"), [("train", 10_239), ("test", 800)])
def test_the_solutions_of_real_puzzles_are_right(name: str, num_rows: int, data_folder: Path) -> None:
    with gzip.open(data_folder / "countdown" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    assert len(rows) == num_rows
    for row in rows:
        gold = json.dumps({"numbers": row["nums"], "target": row["target"]})
        written = row["answer"].partition("<answer>")[2].partition("</answer>")[0]
        assert VERIFIER.check_gold(gold) is None
        assert VERIFIER.grade(written, gold) == 1.0
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


def test_every_real_game_of_24_is_solved(data_folder: Path) -> None:
    lines = (data_folder / "game24" / "24.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1_362
    for line in lines:
        numbers = [int(number) for number in json.loads(line)["Puzzles"].split()]
        gold = json.dumps({"numbers": numbers, "target": 24})
        solution = solve(numbers, 24)
        assert solution is not None
        assert VERIFIER.grade(solution, gold) == 1.0
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


def test_the_solver_writes_plain_expressions() -> None:
    assert solve([3, 4], 7) == "3 + 4"
    assert solve([3, 4], -1) == "3 - 4"
    assert solve([4, 0], 0) == "4 * 0"
    assert solve([5], 5) == "5"
    assert solve([2, 3, 4], 20) == "4 * (2 + 3)"
    assert solve([], 0) is None


def test_wrong_answers_are_sums_that_miss() -> None:
    sums = [
        (json.dumps({"numbers": [3, 4], "target": target}), found)
        for target, found in ((7, "3 + 4 + 4"), (12, "3 + 4"))
    ]
    assert all(VERIFIER.wrong_answer(gold) == found for gold, found in sums)
    assert VERIFIER.check_gold("9") == 'is not JSON of the form {"numbers": [integers from 0 on], "target": integer}'


def test_a_number_between_dollars_is_an_expression() -> None:
    assert VERIFIER.grade("$5$", json.dumps({"numbers": [5], "target": 5})) == 1.0
