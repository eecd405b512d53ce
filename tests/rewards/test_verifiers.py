"""The rules by which answers are judged."""

import json
from fractions import Fraction
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.program_runner import judge_programs
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.rewards.verifiers.countdown import is_countdown_solution
from thinkwright.rewards.verifiers.numbers import parse_number
from thinkwright.tasks.tiny_world.puzzle import Puzzle
from thinkwright.tasks.tiny_world.world import FAMILIES, held_out_puzzles, random_puzzle

ARITHMETIC = {"question": "Calculate 3 + 4.", "answer": "7", "metadata": {}}
COUNTDOWN = json.dumps({"numbers": [3, 3, 8, 2], "target": 9})


ROLES = json.dumps({"names": ["Zoey", "Oliver"], "solution": [True, False]})
INSTRUCTIONS = json.dumps({
    "instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": ["orange", "lemon"]}],
})  # fmt: skip
REFERENCES = {
    "number": ("1,200", "1200"),
    "words": ("Amy, Ben", "Amy Ben"),
    "word_set": ("Ben and Amy", "Amy Ben"),
    "countdown": ("3*8/2-3", COUNTDOWN),
    "program": ("lambda x: 3*x", "[[1, 3], [2, 6]]"),
    "math": ("\\frac{1}{2}", "0.5"),
    "functions": ("def f(x):\n    return {x: 1}", json.dumps({"kind": "asserts", "tests": ["assert f(1) == {1: 1}"]})),
    "stdin_stdout": ("```python\nprint({1: 2}[1])\n```", json.dumps({"inputs": [""], "outputs": ["2"]})),
    "truth_assignment": ("Zoey is a knight, and Oliver is a knave", ROLES),
    "choice": ("(B)", "B"),
    "exact": ("] } )", "] } )"),
    "structured": ("{1: [2]}", json.dumps({"kind": "python", "value": "{1: [2]}"})),
    "instructions": ("An orange and a lemon.", INSTRUCTIONS),
    "refusal": ("I'm sorry, but I can't help with that.", "refuse"),
    "conduct": ("Hello, Amy. Ask me more any time.", json.dumps({"language": "en", "content": ["Hello", "Amy"]})),
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", VERIFIERS)
def test_a_perfect_reply_is_right_and_a_wrong_one_wrong_under_every_template(name: str, template: str) -> None:
    verifier = VERIFIERS[name]
    if name == "reasoning_gym":
        pytest.importorskip("reasoning_gym")
        answer, gold = "7", json.dumps({"dataset": "basic_arithmetic", "entry": ARITHMETIC})
    else:
        answer, gold = REFERENCES[name]
    if verifier.machine_problem is not None and (problem := verifier.machine_problem()) is not None:
        pytest.skip(problem)
    for text, score in ((answer, 1.0), (verifier.wrong_answer(gold), 0.0)):
        reply = TEMPLATES[template].split(TEMPLATES[template].write("I think.", text)).answer
        assert reply is not None
        assert verifier.grade(reply, gold) == score, reply
        assert verifier.grade_many is None or verifier.grade_many([(reply, gold)]) == [score]


FRAGMENTS = (
    "\\boxed{", "}", "{", "<answer>", "</think>", "$", "\\", "\\text{", "= ", "the answer is ", "答案是", "!", "(", ")",
    "[", "]", ",", ".", "?", "%", "^", "*", "-", "```python\n", "```", "\n", " ", "\x00", "\u202e", "none", "nan",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"functions", "stdin_stdout"}))
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)))
@settings(max_examples=60, deadline=None)
def test_no_text_at_random_is_paid_and_none_makes_a_grader_fail(name: str, text: str) -> None:
    answer, gold = REFERENCES[name]
    assume(not set(answer.casefold()) - {" "} <= set(text.casefold()))
    assert VERIFIERS[name].grade(text, gold) == 0.0
    assert VERIFIERS[name].grade(f"{text} \\boxed{{{text}}}", gold) == 0.0
    assert VERIFIERS[name].grade(f"{text}\\boxed{{{answer}}}", gold) in (0.0, 0.5, 1.0)


@pytest.mark.parametrize("answer", ["\\boxed{\\text{Amy, Ben}}", "I say $\\boxed{Amy\\text{ and }Ben}$."])
def test_words_in_a_box_may_be_latex_text(answer: str) -> None:
    assert VERIFIERS["word_set"].grade(answer, "Ben Amy") == 1.0
    assert VERIFIERS["word_set"].grade(f"\\boxed{{Amy}} {answer} \\boxed{{Ben}}", "Ben Amy") == 0.0


def puzzles_of(family: str, count: int) -> list[Puzzle]:
    rng = Random(f"verifiers/{family}")
    return [random_puzzle(rng, (family,)) for _ in range(count)]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "programs"])
def test_gold_answers_are_right_and_wrong_ones_wrong(family: str) -> None:
    for puzzle in puzzles_of(family, 300):
        verifier = VERIFIERS[puzzle.verifier]
        assert puzzle.wrong
        assert verifier.check_gold(puzzle.gold) is None
        assert verifier.grade(puzzle.answer, puzzle.gold) == 1.0, puzzle
        assert [wrong for wrong in puzzle.wrong if verifier.grade(wrong, puzzle.gold)] == [], puzzle


def test_gold_programs_are_right_and_wrong_ones_wrong() -> None:
    puzzles = puzzles_of("programs", 200)
    verdicts = judge_programs([(answer, p.gold) for p in puzzles for answer in (p.answer, *p.wrong)])
    assert verdicts == [answer is puzzle.answer for puzzle in puzzles for answer in (puzzle.answer, *puzzle.wrong)]


def test_every_held_out_question_names_a_verifier_that_reads_its_gold() -> None:
    assert [p for p in held_out_puzzles() if VERIFIERS[p.verifier].check_gold(p.gold) is not None] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", Fraction(12)),
        (" -3.50 ", Fraction(-7, 2)),
        ("+7", Fraction(7)),
        (".5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        ("-6 / 8.", Fraction(-3, 4)),
        ("1,234,567", Fraction(1234567)),
        ("$5.", Fraction(5)),
        ("-$1,000.25", Fraction(-400100, 400)),
        ("60%", Fraction(60)),
        ("12。", Fraction(12)),
    ],
)
def test_a_number_is_read_exactly(text: str, value: Fraction) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "-", "1 2", "3 or 4", "5 apples", "1,23", "12,34,567", "1/0", "1/2/3", "--5", "1e3", "0x10", "inf", "nan",
     "1_000", "\N{ARABIC-INDIC DIGIT THREE}", "5..", "x=5", "5=5", "1" * 65],
)  # fmt: skip
def test_what_is_not_one_number_is_not_read(text: str) -> None:
    assert parse_number(text) is None
    assert VERIFIERS["number"].check_gold(text) is not None
    assert VERIFIERS["number"].grade(text, text) == 0.0


def test_equal_numbers_written_differently_are_the_same() -> None:
    grade = VERIFIERS["number"].grade
    assert grade("1,000.0", "1000")
    assert grade("0.1", "1/10")
    assert grade("-0", "0")
    assert not grade("0.3333333333333333", "1/3")


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("a  b C.", "A B C", True),
        ("A, B, C", "A B C", True),
        ("北京。", "北京", True),
        ("A C B", "A B C", False),
        ("A B C C", "A B C", False),
        ("A B", "A B C", False),
        ("Paris or Rome", "Paris", False),
        ("-5", "5", False),
        ("", "Paris", False),
        ("...", "...", False),
    ],
)
def test_words_are_compared_in_order_without_case_and_punctuation(answer: str, gold: str, verdict: bool) -> None:
    assert VERIFIERS["words"].grade(answer, gold) == verdict


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("Ben and Amy", "Amy Ben", True),
        ("ben, amy, and zoe.", "Amy Ben Zoe", True),
        ("钱、赵和孙", "赵 钱 孙", True),
        ("赵，钱", "钱 赵", True),
        ("Amy Amy Ben", "Amy Ben", False),
        ("Amy", "Amy Ben", False),
        ("Amy Ben Zoe", "Amy Ben", False),
        ("and", "Amy", False),
        ("Andy", "Andy", True),
    ],
)
def test_a_word_set_has_every_word_once_in_any_order(answer: str, gold: str, verdict: bool) -> None:
    assert VERIFIERS["word_set"].grade(answer, gold) == verdict


@pytest.mark.parametrize("answer", ["3*8/2-3", "(3*8)/2 - 3 = 9", "8*3/2-3=9", " 3*(8/2)-3 "])
def test_a_countdown_expression_with_the_given_numbers_and_value_is_right(answer: str) -> None:
    assert is_countdown_solution(answer, COUNTDOWN)


@pytest.mark.parametrize(
    "answer",
    ["9", "3*3", "3+8-2", "3*3*8/8", "3*8/2-3=10", "3*8/2-3=9=9", "3*8/2-3 is 9", "-3+3*8/2", "3--3+8-2", "3*8//2-3",
     "3**2+8-3+3", "38/2-3", "3*8/(2-2)", "abs(3*8/2-3)", "9=3*8/2-3", "(3*8/2-3", "3,8,2,3", "=9", "03*8/2-3"],
)  # fmt: skip
def test_any_other_countdown_answer_is_wrong(answer: str) -> None:
    assert not is_countdown_solution(answer, COUNTDOWN)


def test_countdown_fractions_are_exact() -> None:
    assert is_countdown_solution("8/(3-8/3)", json.dumps({"numbers": [8, 3, 8, 3], "target": 24}))


@pytest.mark.parametrize(
    ("name", "gold"),
    [
        ("words", " . "),
        ("word_set", "Amy Amy"),
        ("word_set", ","),
        ("countdown", "[3, 4]"),
        ("countdown", '{"numbers": [], "target": 3}'),
        ("countdown", '{"numbers": [3, "4"], "target": 7}'),
        ("countdown", '{"numbers": [3, 4], "target": true}'),
        ("countdown", "3+4"),
        ("program", "[]"),
        ("program", "[[1]]"),
        ("program", '[[1, "2"]]'),
        ("program", "{}"),
    ],
)
def test_a_gold_that_cannot_be_read_has_a_reason_and_no_right_answer(name: str, gold: str) -> None:
    assert VERIFIERS[name].check_gold(gold)
    assert VERIFIERS[name].grade(gold, gold) == 0.0
