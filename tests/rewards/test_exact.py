"""The same text, but for case, blanks, quotes and a full stop."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.verifiers.exact import VERIFIER

LAST_ON_MOON = json.dumps({"answers": ["14 December 1972 UTC", "December 1972"]})


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("true", "True"),
        ("Yes.", "yes"),
        ('"No"', "no"),
        ("**valid**", "valid"),
        ("The answer is valid.", "valid"),
        ("\\boxed{\\text{True}}", "True"),
        ("-35", "-35"),
        ("−35", "-35"),
        ("barn  damp\ndot", "barn damp dot"),
        ("Monsters Inc.", "Monsters Inc"),
        ("it’s", "it's"),
        ("ｙｅｓ", "yes"),
        ("cafe\u0301", "café"),
        ("] ]", "] ]"),
        ("]]", "] ]"),
        ("\\boxed{\\} )}", "} )"),
        ("(A)", "(A)"),
        ("A", "(A)"),
        ("(A) the first", "(A)"),
        ("december 1972", LAST_ON_MOON),
        ("14 December 1972 UTC.", LAST_ON_MOON),
        ("北京。", "北京"),
    ],
)
def test_the_same_text_is_right(answer: str, gold: str) -> None:
    assert VERIFIER.check_gold(gold) is None
    assert VERIFIER.grade(answer, gold) == 1.0


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("", "True"),
        ("True or False", "True"),
        ("True False", "True"),
        ("yes no", "yes"),
        ("invalid", "valid"),
        ("not valid", "valid"),
        ("35", "-35"),
        ("--35", "-35"),
        ("-35.0", "-35"),
        ("dot barn damp", "barn damp dot"),
        ("barn damp", "barn damp dot"),
        ("barn, damp, dot", "barn damp dot"),
        ("] ] ]", "] ]"),
        ("] )", "] ]"),
        ("]", "] ]"),
        ("] ] }", "] ]"),
        (") ) ] ] > > } }", "] ]"),
        ("B", "(A)"),
        ("(A) or (B)", "(A)"),
        ("(A) (B)", "(A)"),
        ("December 1972, or January 1973", LAST_ON_MOON),
        ("14 December 1972 UTC, December 1972", LAST_ON_MOON),
        ("1972", LAST_ON_MOON),
        ("The answer is yes. The answer is no.", "yes"),
        ("\\boxed{yes} \\boxed{no}", "yes"),
    ],
)
def test_more_or_less_or_something_else_is_wrong(answer: str, gold: str) -> None:
    assert VERIFIER.grade(answer, gold) == 0.0


@pytest.mark.parametrize("gold", ["", "  ", '{"answers": []}', '{"answers": [1]}', '{"answers": ["a", " "]}'])
def test_a_gold_that_cannot_be_read_has_a_reason_and_no_right_answer(gold: str) -> None:
    assert VERIFIER.check_gold(gold)
    assert VERIFIER.grade(gold, gold) == 0.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@settings(deadline=None, max_examples=300)
@given(st.text(min_size=1, max_size=30), st.text(max_size=60))
def test_any_gold_is_right_and_its_wrong_answer_wrong(gold: str, answer: str) -> None:
    if VERIFIER.check_gold(gold) is None:
        assert VERIFIER.grade(gold, gold) == 1.0
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0
    assert VERIFIER.grade(answer, gold) in (0.0, 1.0)
    assert VERIFIER.grade(answer, "a text of this length is not met by chance") == 0.0


@pytest.mark.parametrize("piece", ["yes ", "(", "]", " ", "\\text{", "\\boxed{yes}", "answer is yes. ", '"', "\\"])
def test_a_long_answer_is_read_at_once(piece: str, cpu_seconds: Callable[[], float]) -> None:
    before = cpu_seconds()
    VERIFIER.grade(piece * (190_000 // len(piece)), "yes")
    assert cpu_seconds() - before < 5


def test_real_targets_are_right_bare_said_and_boxed(data_folder: Path) -> None:
    with gzip.open(data_folder / "bbh" / "bbh_27_tasks.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = list(lines)
    assert len(rows) == 6_511
    for line in rows:
        target = json.loads(line)["target"]
        assert VERIFIER.check_gold(target) is None
        boxed = TEMPLATES["boxed"].write("So it goes.", target)
        for answer in (target, f"So it goes. The answer is {target}", boxed):
            assert VERIFIER.grade(answer, target) == 1.0, (answer, target)
        assert VERIFIER.grade(VERIFIER.wrong_answer(target), target) == 0.0


def test_every_real_list_of_accepted_answers_accepts_each_and_refuses_another(data_folder: Path) -> None:
    lines = (data_folder / "nq_open" / "NQ-open.dev.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == 3_610
    for line in lines:
        accepted = json.loads(line)["answer"]
        gold = json.dumps({"answers": accepted})
        assert VERIFIER.check_gold(gold) is None
        assert all(VERIFIER.grade(answer, gold) == 1.0 for answer in accepted)
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [
        ("(A)", "(B)"),
        ("(D)", "(A)"),
        ("5", "6"),
        ("-1", "0"),
        ("Yes", "no"),
        ("invalid", "valid"),
        ("cat", "cat not"),
        ('{"answers": ["cat", "cat not"]}', "cat not not"),
    ],
)
def test_a_wrong_answer_is_near_the_right_one(gold: str, wrong: str) -> None:
    assert VERIFIER.wrong_answer(gold) == wrong


def test_accepted_answers_are_a_list() -> None:
    assert VERIFIER.check_gold('{"answers": "ab"}') == 'is blank, or not JSON of the form {"answers": [texts]}'


def test_a_reply_is_read_up_to_its_bound() -> None:
    assert VERIFIER.grade("yes" + " " * (200_000 - 3), "yes") == 1.0
    assert VERIFIER.grade("yes" + " " * (200_001 - 3), "yes") == 0.0
