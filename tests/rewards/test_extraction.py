"""The final answer is found wherever a model puts it, and only there."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards.extraction import (
    MAX_ANSWER_CHARACTERS,
    extract_answer,
    find_last_box,
    open_box,
    strip_wrapping,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"So \boxed{5}.", "5"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{7}", "7"),
        (r"\boxed {8}", "8"),
        (r"\boxed 9", "9"),
        (r"\\boxed{10}", "10"),
        (r"\boxed{$11$}", "11"),
        (r"\boxed{\text{Yes}}", r"\text{Yes}"),
        (r"\boxed{x = \boxed{12}}", "x = {12}"),
        ("The answer is 13.", "13"),
        ("The final answer to it is: **14**", "14"),
        ("**Answer:** $15$", "15"),
        ("**Answer**: 16", "16"),
        ("The answer is\n\n$$\n17\n$$", "17"),
        ("The answer is\n\\[\n18\n\\]", "18"),
        ("答案是19。", "19"),
        ("答案：20", "20"),
        ("work\n#### 21", "21"),
        ("22", "22"),
        (" $23$. ", "23"),
        ("$1$ and $2$", "$1$ and $2$"),
        ("The answer is 3.14. It is close to pi.", "3.14"),
        ("The answer is 5!", "5!"),
        ("The answer is 5\nor so\nI think", "5"),
        ("1, 2, ...", "1, 2, ..."),
        ("", ""),
        ("   ", ""),
    ],
)
def test_the_answer_is_found_without_what_surrounds_it(text: str, expected: str) -> None:
    assert extract_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{1} ... \boxed{2", "1"),
        (r"\boxed{\boxed{1} + 2}", "{1} + 2"),
        (r"{ \boxed{3}", "3"),
        (r"\boxed{4}}", "4"),
        (r"\boxed{5} The answer is 6", "5"),
        (r"The answer is \boxed{5}. I put it in \boxed as asked.", "5"),
        (r"\boxed{5} is my final answer within \boxed{}.", "5"),
        (r"\boxed 5 is my final answer within \boxed{ }.", "5"),
        (r"The answer is 5, in \boxed{}.", ""),
        ("The answer is 1. No, the answer is 2.", "2"),
        ("The answer isn't 5", "The answer isn't 5"),
        ("the answer is not 5", "not 5"),
    ],
)
def test_of_several_answers_the_last_counts(text: str, expected: str) -> None:
    assert extract_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "content"),
    [("4", "4"), (r"So \boxed{ 4 }.", "4"), (r"\boxed{\text{Amy, Ben}}", "Amy, Ben"), (r"\boxed{\{4\}}", "{4}")],
)
def test_an_opened_box_is_plain_text(text: str, content: str) -> None:
    assert open_box(text) == content


def test_a_box_that_is_never_closed_holds_nothing() -> None:
    assert find_last_box(r"\boxed{5") is None


def test_an_answer_longer_than_any_gold_is_none() -> None:
    assert extract_answer("1" * (MAX_ANSWER_CHARACTERS + 1)) == ""
    assert extract_answer(r"\boxed{" + "1" * (MAX_ANSWER_CHARACTERS + 1) + "}") == ""


@pytest.mark.parametrize(
    "poison",
    [
        "{" * 100_000,
        "\\boxed{" * 20_000,
        "\\boxed{" * 20_000 + "}" * 20_000,
        "\\boxed{" + " " * 50_000 + "\\boxed{" * 10_000 + "}" * 10_001,
        "}" * 100_000,
        "\\" * 100_001,
        "answer " * 20_000,
        "answer is " * 20_000,
        "$" * 100_000,
        "*" * 100_000,
        "\\boxed{" + "{" * 50_000 + "5" + "}" * 50_000 + "}",
    ],
    ids=lambda text: text[:12],
)
def test_a_hundred_kilobytes_of_anything_take_a_moment(poison: str) -> None:
    started = time.process_time()
    extract_answer(poison)
    assert time.process_time() - started < 2


@given(st.text(alphabet=st.sampled_from(list("\\{}boxed$ answeris:=.5*#\n答案是。")), max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_raise(text: str) -> None:
    answer = extract_answer(text)
    assert len(answer) <= MAX_ANSWER_CHARACTERS
    assert strip_wrapping(answer) == strip_wrapping(strip_wrapping(answer))


@given(st.text(max_size=60), st.text(alphabet="0123456789+-/x", min_size=1, max_size=10), st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_box_is_found_in_any_text(before: str, content: str, after: str) -> None:
    before, after = before.replace("\\", "").replace("{", ""), after.replace("\\", "")
    assert find_last_box(before + "\\boxed{" + content + "}" + after) == content


def test_more_layers_than_an_answer_has_are_left() -> None:
    text = "5"
    for opening, closing in (
        "()",
        "[]",
        ("**", "**"),
        "``",
        '""',
        "“”",
        "''",
        "‘’",
        "「」",
    ):  # the outer come off later
        mark = "\\" if opening in "([" else ""
        text = f"{mark}{opening}{text}{mark}{closing}"
    assert strip_wrapping(text) == r"\(5\)"
