"""Which answers vote together."""

import pytest

from thinkwright.evaluation.canonical import canonical_answer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7", "7.00"),
        ("1,000", "$1000"),
        ("1/2", "0.5"),
        (r"The answer is \boxed{12}.", "12"),
        ("Paris", " paris. "),
        (r"\text{Paris}", "Paris"),
        (r"\dfrac{1}{x}", r"\frac{1}{x}"),
        (r"\left(1, 2\right)", "(1,2)"),
        ("\uff21 B C", "A B C"),
    ],
)
def test_the_same_answer_written_otherwise(one: str, other: str) -> None:
    assert canonical_answer(one, "math") == canonical_answer(other, "math") is not None


@pytest.mark.parametrize(("one", "other"), [("7", "-7"), ("Paris", "Rome"), ("1/2", "1/3"), ("x", "y"), ("5%", "5 cm")])
def test_other_answers(one: str, other: str) -> None:
    assert canonical_answer(one, "math") != canonical_answer(other, "math")


def test_no_answer_and_no_vote() -> None:
    assert canonical_answer(None, "math") is None
    assert canonical_answer("  ", "math") is None
    assert canonical_answer("print(1)", "functions") is None
