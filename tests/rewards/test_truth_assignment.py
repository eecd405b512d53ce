"""Knights and knaves."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards.verifiers.truth_assignment import VERIFIER

GOLD = json.dumps(
    {"names": ["Zoey", "Oliver"], "solution": [True, False], "true_word": "knight", "false_word": "knave"}
)


@pytest.mark.parametrize(
    "answer",
    [
        "(1) Zoey is a knight\n(2) Oliver is a knave",
        "1. Zoey is a knight.\n2. Oliver is a knave.",
        "Zoey is a knight, and Oliver is a knave.",
        "Zoey is a knight and Oliver is a knave",
        "Oliver is a knave; Zoey is a knight",
        "Zoey: knight; Oliver: knave",
        "- **Zoey**: Knight\n- **Oliver**: Knave",
        "ZOEY IS A KNIGHT, oliver is the knave",
        "zoey = knight, oliver = knave",
        "So the answer is: Zoey is a knight, Oliver is a knave",
        "  Zoey -> knight\n\n  Oliver -> knave  ",
    ],
)
def test_every_usual_way_to_list_the_roles_is_read(answer: str) -> None:
    assert VERIFIER.grade(answer, GOLD) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Zoey is a knight",
        "Zoey is a knave, Oliver is a knight",
        "Zoey is a knight, Oliver is a knight",
        "Zoey is a knight, Oliver is a knave, Zoey is a knave",
        "Zoey is a knight, Oliver is a knave, Oliver is a knave",
        "Zoey is a knight, Oliver is a knave, and Ann is a knight",
        "Zoey is a knight and a knave, Oliver is a knave",
        "Zoey is a knight or a knave, Oliver is a knave",
        "Zoey is a knight, Oliver is not a knight",
        "Zoey is not a knave, Oliver is a knave",
        "Zoey is a knight, Oliver is a knave. Or Zoey is a knave, Oliver is a knight.",
        "Zoey is a knight, Oliver is a knave, or the other way round",
        "If Zoey is a knight, Oliver is a knave",
        "Zoey is a knightly person, Oliver is a knave",
        "Zoeyer is a knight, Oliver is a knave",
        "knight, knave",
        "Zoey, Oliver: knight, knave",
        "x" * 10_000,
    ],
)
def test_anything_but_each_role_once_is_refused(answer: str) -> None:
    assert VERIFIER.grade(answer, GOLD) == 0.0


def test_a_name_that_begins_another_is_told_from_it() -> None:
    gold = json.dumps({"names": ["Ann", "Ann Lee"], "solution": [True, False]})
    assert VERIFIER.grade("Ann is a knight, Ann Lee is a knave", gold) == 1.0
    assert VERIFIER.grade("Ann Lee is a knight, Ann is a knave", gold) == 0.0


def test_roles_may_have_other_names() -> None:
    gold = json.dumps({"names": ["Bo"], "solution": [False], "true_word": "saint", "false_word": "sinner"})
    assert VERIFIER.grade("Bo is a sinner", gold) == 1.0
    assert VERIFIER.grade("Bo is a knave", gold) == 0.0


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "[]",
        "{}",
        '{"names": [], "solution": []}',
        '{"names": ["A"], "solution": [1]}',
        '{"names": ["A"], "solution": [true, false]}',
        '{"names": ["A", "a"], "solution": [true, false]}',
        '{"names": ["A"], "solution": [true], "true_word": "x", "false_word": "X"}',
        '{"names": [""], "solution": [true]}',
        "[" * 100_000,
    ],
)
def test_a_gold_that_is_no_puzzle_has_a_reason(gold: str) -> None:
    assert VERIFIER.check_gold(gold) is not None


def test_every_row_passes_as_written_and_fails_with_one_person_turned_round(data_folder: Path) -> None:
    for part, count in (("train", 4500), ("test", 400)):
        path = data_folder / "knights_and_knaves" / f"{part}.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        assert len(rows) == count
        for row in rows:
            gold = json.dumps({"names": row["names"], "solution": row["solution"]})
            assert VERIFIER.check_gold(gold) is None
            assert VERIFIER.grade(row["solution_text"], gold) == 1.0
            assert VERIFIER.grade(row["solution_text_format"], gold) == 1.0
            assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


_TOKENS = st.sampled_from([
    "Zoey", "Oliver", "is", "is a", "a", "knight", "knave", "not", "and", "or", ",", ".", "\n", "(1)", ":", "->", "**",
    " ", "If", "Ann", "=", "-", "the answer is",
])  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(_TOKENS, max_size=20).map(" ".join)))
def test_no_text_but_a_list_of_both_right_roles_earns_anything(answer: str) -> None:
    score = VERIFIER.grade(answer, GOLD)
    assert score in (0.0, 1.0)
    if score:
        words = [word for word in answer.replace("*", " ").lower().split() if word not in ("", ":", "=", "->", "-")]
        assert [words.count(word) for word in ("zoey", "oliver", "knight", "knave")] == [1, 1, 1, 1]
        assert not {"not", "or", "if", "ann"} & set(words)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_any_gold_is_a_puzzle_or_has_a_reason(gold: str) -> None:
    assert VERIFIER.check_gold(gold)


def test_the_wrong_answer_turns_the_first_person_round() -> None:
    assert VERIFIER.wrong_answer(GOLD) == "(1) Zoey is a knave\n(2) Oliver is a knave"
    gold = json.dumps({"names": ["Bo"], "solution": [False], "true_word": "saint", "false_word": "sinner"})
    assert VERIFIER.wrong_answer(gold) == "(1) Bo is a saint"


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ('{"names": ["A", "a"], "solution": [true, false]}', "names a person twice"),
        ('{"names": ["A"], "solution": [true], "true_word": "x", "false_word": "X"}', "has one word for both roles"),
        ("no JSON", 'is not JSON of the form {"names": [...]'),
    ],
)
def test_the_reason_says_what_is_wrong(gold: str, reason: str) -> None:
    assert (VERIFIER.check_gold(gold) or "").startswith(reason)
