"""Reasoning Gym's scorers, and the rules before them."""

import importlib.util
import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.errors import DataError
from thinkwright.rewards.verifiers import reasoning_gym
from thinkwright.rewards.verifiers.reasoning_gym import VERIFIER, entries
from thinkwright.rewards.verifiers.reasoning_gym_families import AS_IT_IS, EXACT, REFUSED, SHAPED, SUPPORTED

# Looked for and not loaded, which takes a second: so do all that collect this file and run none of it.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("reasoning_gym") is None, reason="no Reasoning Gym here")
SLOW_TO_MAKE = {"futoshiki", "knight_swap", "sokoban", "quantum_lock", "figlet_font", "circuit_logic", "arc_1d"}
CODE = "__import__('os').system('touch hacked')"


def _gold(name: str, entry: dict[str, Any], **more: Any) -> str:
    return json.dumps({"dataset": name, "entry": entry, **more})


def test_every_data_set_of_the_library_is_either_supported_by_one_rule_or_refused_with_a_reason() -> None:
    from reasoning_gym.factory import DATASETS

    assert set(DATASETS) == SUPPORTED | set(REFUSED)
    assert len(AS_IT_IS) + len(EXACT) + len(SHAPED) == len(SUPPORTED)
    assert not SUPPORTED & set(REFUSED)


@pytest.mark.parametrize("name", sorted(SUPPORTED - SLOW_TO_MAKE))
def test_the_gold_earns_full_marks_and_what_is_not_the_answer_none(name: str) -> None:
    made = entries(name, seed=3, size=2)
    for entry, other in zip(made, reversed(made), strict=True):
        gold, right = _gold(name, entry), entry["answer"]
        assert VERIFIER.check_gold(gold) is None
        assert VERIFIER.grade(f" {right}\n", gold) == 1.0
        wrong = VERIFIER.wrong_answer(gold)
        assert wrong
        assert VERIFIER.grade(wrong, gold) == 0.0
        noise = ["", "qqq", "nan", "inf", "[[[[", CODE, "9**9**9**9", f"{right} qqq", f"qqq {right}", f"not {right}"]
        for answer in [*noise, f"{right} or {other['answer']}", f"{other['answer']} or {right}"]:
            assert answer == right or VERIFIER.grade(answer, gold) == 0.0, answer


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_data_set_whose_scorer_can_be_fooled_or_fails_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' cannot be used"):
        entries(name, 1, 1)
    assert VERIFIER.check_gold(_gold(name, {"question": "?", "answer": "1", "metadata": {}})) is not None


def test_an_unknown_data_set_or_setting_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match=r"'no_such_set'.*not among"):
        entries("no_such_set", 1, 1)
    with pytest.raises(DataError, match=r"'gcd'.*no_such_setting"):
        entries("gcd", 1, 1, {"no_such_setting": 3})


def test_entries_are_the_same_for_the_same_seed_and_obey_settings() -> None:
    small = entries("gcd", 4, 5, {"max_value": 9})
    assert small == entries("gcd", 4, 5, {"max_value": 9})
    assert small != entries("gcd", 5, 5, {"max_value": 9})
    assert all(1 <= number <= 9 for entry in small for number in entry["metadata"]["numbers"])


def test_settings_of_the_gold_reach_the_scorer() -> None:
    coarse = {"max_num_decimal_places": 1, "min_num_decimal_places": 1}
    [entry] = entries("decimal_arithmetic", 1, 1, coarse)
    near = str(float(entry["answer"]) + 0.05)
    assert VERIFIER.grade(near, _gold("decimal_arithmetic", entry)) == 0.0
    assert VERIFIER.grade(near, _gold("decimal_arithmetic", entry, settings=coarse)) == 1.0


def test_partial_credit_counts_only_if_the_gold_asks_for_it() -> None:
    entry = {"question": "?", "answer": "gold", "metadata": {}}
    assert VERIFIER.grade("the gold", _gold("leg_counting", entry)) == 0.0
    assert VERIFIER.grade("the gold", _gold("leg_counting", entry, credit="share")) == 0.5
    assert VERIFIER.check_gold(_gold("leg_counting", entry, credit="most")) is not None


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("simple_integration", "Integral(2*x, x)"),
        ("simple_integration", "integrate(2*x, x)"),
        ("simple_integration", CODE),
        ("simple_integration", "x**2 if 1 else 0"),
        ("simple_integration", "x.func"),
        ("simple_integration", "lambda: x"),
        ("simple_integration", "9**9**9**9"),
        ("simple_integration", "(9**99)**99"),
        ("simple_integration", "9" * 900),
    ],
)
def test_a_formula_that_is_python_or_no_work_is_not_evaluated(name: str, answer: str) -> None:
    entry = {"question": "?", "answer": "x**2 + C", "metadata": {"variable": "x", "integrand": "2*x"}}
    assert VERIFIER.check_gold(_gold(name, entry)) is None
    assert VERIFIER.grade("C + x**2", _gold(name, entry)) == 1.0
    assert VERIFIER.grade("x*x", _gold(name, entry)) == 1.0
    assert VERIFIER.grade(answer, _gold(name, entry)) == 0.0


def test_scorers_that_run_eval_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    [entry] = entries("n_queens", 1, 1)
    monkeypatch.setattr("builtins.eval", lambda *_: pytest.fail("eval was called"))
    for name in ("n_queens", "binary_matrix", "spiral_matrix", "string_insertion"):
        assert VERIFIER.grade(CODE, _gold(name, entry)) == 0.0


def test_another_solution_of_the_queens_is_right_too() -> None:
    entry = {"question": "?", "answer": "Q _\n_ Q", "metadata": {"valid_answers": ["Q _\n_ Q", "_ Q\nQ _"]}}
    assert VERIFIER.grade("_ Q\nQ _", _gold("n_queens", entry)) == 1.0
    assert VERIFIER.grade("Q Q\n_ _", _gold("n_queens", entry)) == 0.0


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    with pytest.raises(DataError, match=r"^Reasoning Gym is not installed"):
        entries("gcd", 1, 1)


@pytest.mark.parametrize("gold", ["", "[]", "{}", '{"dataset": "gcd"}', '{"dataset": "gcd", "entry": {"answer": 3}}'])
def test_a_gold_that_is_no_entry_has_a_reason(gold: str) -> None:
    assert VERIFIER.check_gold(gold) is not None


_FUZZED = ("gcd", "countdown", "simple_integration", "prime_factorization", "tower_of_hanoi", "jugs", "knights_knaves",
           "game_of_life", "complex_arithmetic", "word_ladder", "mini_sudoku", "quantum_lock", "n_queens")  # fmt: skip
_PIECES = st.lists(st.sampled_from([*"0123456789+-*/()[]{}\"',. \nxCijA", "**", "nan", "e9", "is a"]), max_size=30)


@pytest.fixture(scope="module")
def fuzzed_golds() -> dict[str, tuple[str, str]]:
    made = {name: entries(name, 2, 1)[0] for name in _FUZZED}
    return {name: (_gold(name, entry), entry["answer"]) for name, entry in made.items()}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_FUZZED), st.one_of(st.text(max_size=60), _PIECES.map("".join)))
def test_any_text_is_graded_without_an_exception(
    fuzzed_golds: dict[str, tuple[str, str]], name: str, answer: str
) -> None:
    gold, _ = fuzzed_golds[name]
    assert VERIFIER.grade(answer, gold) in (0.0, 1.0)


def test_a_gold_that_is_no_entry_grades_nothing() -> None:
    with pytest.raises(DataError, match="the gold"):
        VERIFIER.grade("1", "{}")


def test_what_no_change_makes_wrong_has_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    [entry] = entries("chain_sum", seed=0, size=1)
    monkeypatch.setattr(reasoning_gym, "grade", lambda answer, gold: 1.0)
    assert reasoning_gym.wrong_answer(json.dumps({"dataset": "chain_sum", "entry": entry})) == ""


def test_a_score_that_is_no_number_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasoning_gym, "_cached", lambda name, settings: Lost())
    assert reasoning_gym._score("1", {"dataset": "some", "entry": {}}) == 0.0


class Lost:
    """A data set whose scorer loses its way."""

    def score_answer(self, answer: str, entry: object) -> float:
        return float("nan")


def test_the_library_is_loaded_before_a_deadline_runs() -> None:
    assert VERIFIER.load is not None
    VERIFIER.load()
