"""Multiple choice: one letter, said in one of many ways."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards.verifiers.choice import VERIFIER, read_choice

CHOICES = ("amnion", "chorion", "allantois", "yolk sac")
GOLD = json.dumps({"answer": "B", "choices": CHOICES})


@pytest.mark.parametrize(
    "answer",
    ["B", "(B)", "B.", "B)", "[B]", " b ", "(b)", "**B**", "$B$", "`B`", "(B).", "B) chorion", "(B) chorion.",
     "B. Chorion",
     "B: chorion", "The answer is B", "the answer is (B).", "So the correct answer is B.", "Answer: B", "Option B",
     "The final answer is: **B**", "\\boxed{B}", "\\boxed{\\text{B}}", "\\boxed{(B)}", "chorion", "Chorion.",
     "The chorion",
     "It holds gases. The answer is B.", "First I thought \\boxed{A}, but \\boxed{B}", "答案是B", "答案:B。",
     "选B", "（B）",
     "B) chorion, because the others hold no gas", "Ｂ"],
)  # fmt: skip
def test_a_letter_or_its_text_may_be_said_in_many_ways(answer: str) -> None:
    is_article = answer == "The chorion"
    assert VERIFIER.grade(answer, GOLD) == float(not is_article)


@pytest.mark.parametrize(
    "answer",
    ["", "A", "A or B", "B or A", "A, B", "B, C", "AB", "BC", "B C", "B) C)", "(A) (B)", "A/B", "B. C",
     "B and C", "not B",
     "A B C D", "B) amnion", "B) chorion or amnion", "B) chorion (A)", "(B) or the yolk sac", "amnion, chorion",
     "all of them",
     "B is wrong", "E", "Z", "\\boxed{A}\\boxed{B}\\boxed{C}", "\\boxed{B} \\boxed{C}", "\\boxed{A, B}",
     "\\boxed{A or B}",
     "The answer is A or B", "The answer is B. The answer is C.", "The answer is B or C.", "Basically", "b c",
     "Bb", "Β", "В",
     "B" * 1000, "B\u200b?", "(B", "A. B. C. D."],
)  # fmt: skip
def test_several_letters_or_another_or_none_earn_nothing(answer: str) -> None:
    assert VERIFIER.grade(answer, GOLD) == 0.0


@pytest.mark.parametrize(("gold", "answer"), [("B", "(B)"), ("(B)", "B"), ("F", "The answer is F."), ("A", "a")])
def test_a_gold_may_be_the_letter_alone(gold: str, answer: str) -> None:
    assert VERIFIER.check_gold(gold) is None
    assert VERIFIER.grade(answer, gold) == 1.0
    assert VERIFIER.grade("A or B", gold) == 0.0


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("BB", "A"),
        ("Bb", "B"),
        ("bb", None),
        ("687", None),
        ("4 kg", None),
        ("C", "C"),
        ("(A) and (B) both", "E"),
        ("", None),
    ],
)
def test_a_text_names_a_choice_only_if_it_is_the_text_of_one_alone(answer: str, letter: str | None) -> None:
    assert read_choice(answer, ("BB", "Bb", "687", "687", "(A) and (B) both", "")) == letter


@pytest.mark.parametrize(
    "gold",
    ["", "b", "AB", "(B", "1", '{"answer": "B"}', '{"answer": "C", "choices": ["x", "y"]}',
     '{"answer": "A", "choices": ["x"]}', '{"answer": "AB", "choices": ["x", "y"]}',
     '{"answer": 1, "choices": ["x", "y"]}',
     '{"answer": "A", "choices": ["x", 2]}', '["A"]'],
)  # fmt: skip
def test_a_gold_that_cannot_be_read_has_a_reason_and_no_right_answer(gold: str) -> None:
    assert VERIFIER.check_gold(gold)
    assert VERIFIER.grade(gold, gold) == VERIFIER.grade("A", gold) == 0.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


PIECES = st.sampled_from(["A", "B", "C", "D", "a", "(", ")", ".", " ", " or ", ", ", "chorion", "amnion",
     "\\boxed{", "}", "1",
                          "answer is ", "\n", "**", "E", "not "])  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=50)))
def test_no_text_is_right_for_two_golds(answer: str) -> None:
    golds = [json.dumps({"answer": letter, "choices": CHOICES}) for letter in "ABCD"]
    assert sum(VERIFIER.grade(answer, gold) for gold in golds) <= 1
    assert sum(VERIFIER.grade(answer, letter) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ") <= 1


@pytest.mark.parametrize(
    "piece", ["A", "(", "B) ", "B. ", " ", "the ", "\\text{", "B or ", "**", "\\boxed{B}", "\n", "{", "\\"]
)
def test_a_long_answer_is_read_at_once(piece: str, cpu_seconds: Callable[[], float]) -> None:
    before = cpu_seconds()
    VERIFIER.grade(piece * (190_000 // len(piece)), GOLD)
    assert cpu_seconds() - before < 5


def test_real_golds_are_right_as_letter_and_with_their_text(data_folder: Path) -> None:
    with gzip.open(data_folder / "mmlu_stem" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = list(lines)
    assert len(rows) == 3_012
    for line in rows:
        row = json.loads(line)
        letter, text = "ABCD"[row["answer"]], row["choices"][row["answer"]]
        gold = json.dumps({"answer": letter, "choices": row["choices"]})
        assert VERIFIER.check_gold(gold) is None
        for answer in (letter, f"({letter})", f"{letter}) {text}", f"So, the answer is {letter}."):
            assert VERIFIER.grade(answer, gold) == 1.0, (answer, gold)
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


def test_a_chosen_text_may_hold_a_letter_itself() -> None:
    choices = ("vitamin C", "vitamin A", "vitamin C and D")
    assert read_choice("A) vitamin C", choices) == "A"
    assert read_choice("A) vitamin C or B", choices) is None
    assert read_choice("A) vitamin C and D", choices) is None


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [("B", "C"), ("(D)", "A"), (GOLD, "C"), ('{"answer": "B", "choices": ["x", "y"]}', "A"), ("", "")],
)
def test_a_wrong_answer_is_the_next_letter(gold: str, wrong: str) -> None:
    assert VERIFIER.wrong_answer(gold) == wrong


def test_a_text_may_be_chosen_after_a_prefix_or_begin_with_one() -> None:
    assert VERIFIER.grade("Option: chorion", GOLD) == 1.0
    assert read_choice("Answer it", ("Answer it", "Leave it")) == "A"


def test_an_answer_without_end_is_none() -> None:
    assert read_choice("A" + " " * 1_000_000) is None
