r"""What each part of the mathematics verifier decides: answers that are the gold and such that nearly are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from thinkwright.rewards.verifiers.math import library
from thinkwright.rewards.verifiers.math.evaluation import Evaluation, Undefined
from thinkwright.rewards.verifiers.math.expressions import Node, number
from thinkwright.rewards.verifiers.math.library import is_fit
from thinkwright.rewards.verifiers.math.tokens import Unreadable
from thinkwright.rewards.verifiers.math.values import constant_value, is_equal
from thinkwright.rewards.verifiers.math.verifier import grade, wrong_answer

ANSWERS = Path(__file__).with_name("math_parts.txt")
"""By module; a line holds a gold, right answers and wrong ones."""


def _rows() -> Iterator[tuple[str, dict[str, float]]]:
    for line in ANSWERS.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("# "):
            gold, *answers = line.split(" ::")
            yield (
                gold,
                {
                    answer.strip(): verdict
                    for verdict, some in zip((1.0, 0.0), answers, strict=True)
                    for answer in some.split(" ; ")
                    if answer.strip()
                },
            )


@pytest.mark.parametrize(("gold", "verdicts"), list(_rows()))
def test_an_answer_is_the_gold_in_another_spelling_or_is_not(gold: str, verdicts: dict[str, float]) -> None:
    assert verdicts
    assert {answer: grade(rf"\boxed{{{answer}}}", gold) for answer in verdicts} == verdicts


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5", "6"),
        ("-1/2", "1/2"),
        ("x+2", "x+2+1"),
        ("1, 2", "1, 2, 123456789"),
        ("x>2", "123456789"),
        (r"\infty", "123456789"),
        ("5 cm", "123456789"),
        (r"\text{Friday}", "none of these"),
    ],
)
def test_the_wrong_answer_is_of_the_golds_kind(gold: str, answer: str) -> None:
    assert wrong_answer(gold) == answer


@pytest.mark.parametrize(
    ("text", "is_asked"),
    [
        (r"\int_0^1 x dx", True),
        ("(" * 8 + "1" + ")" * 8, True),
        ("(" * 9 + "1" + ")" * 9, False),
        ("[{(1)}]" * 9, True),
        ("x" + "+1" * 99, True),
        ("x" + "+1" * 100, False),
        ("", False),
        (r"\sqrt[3]{2}", False),
        (r"1\pm 2", False),
        ("123456", True),
        ("1234567", False),
        ("x^{99}", True),
        ("x^{100}", False),
        ("2^2^2", False),
        ("abc", False),
        (r"\sum_{n=1}^{5} n", True),
        (r"\lim_{x\to 0} x", True),
        ("x=1", False),
    ],
)
def test_the_library_is_asked_for_one_small_expression_only(text: str, is_asked: bool) -> None:
    assert is_fit(text) == is_asked


ONE_BY_ZERO = Node("quotient", (number(1), number(0)))


def test_what_has_no_value_cannot_be_put_in_order_and_equals_nothing() -> None:
    with pytest.raises(Unreadable, match="has no value"):
        constant_value(ONE_BY_ZERO)
    assert not is_equal(number(1), ONE_BY_ZERO)


def test_only_what_there_is_a_rule_for_is_evaluated() -> None:
    run = Evaluation({}, 100, must_be_real=False)
    with pytest.raises(Unreadable, match="has riddle in an expression"):
        run.value(Node("riddle"))
    with pytest.raises(Unreadable, match="has the symbol x"):
        run.value(Node("symbol", name="x"))
    with pytest.raises(Undefined, match="infinite"):
        run.note(run.context.inf)


def test_where_the_library_trips_over_a_text_nothing_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(*_: object, **__: object) -> object:
        raise AttributeError("of a parser that was not made for this")

    monkeypatch.setattr("math_verify.parse", trip)
    assert library._parse.__wrapped__("x") is None
