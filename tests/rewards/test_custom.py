"""Functions of the user's own are looked at before anything is computed, in a worker, with the key and the remedy."""

from pathlib import Path

import pytest

from thinkwright.config.rewards import CustomReward, RewardWeights
from thinkwright.errors import RecipeError
from thinkwright.rewards.check import check_rewards
from thinkwright.rewards.custom import call_function, problem_with_reward
from thinkwright.rewards.pool import WorkerPool

HERE = "tests.rewards.poison"


def rewards(function: str, deadline_seconds: float = 30.0) -> RewardWeights:
    return RewardWeights(custom=(CustomReward(function=function, deadline_seconds=deadline_seconds),))


def test_a_function_that_can_be_called_passes(pool: WorkerPool) -> None:
    check_rewards(rewards(f"{HERE}:lengths"), ["en"], pool)
    check_rewards(RewardWeights(), ["any"], pool)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("no_such_module:f", "No module named 'no_such_module'; correct the name"),
        (f"{HERE}:no_such_function", "correct the name after the colon"),
        (f"{HERE}:VERIFIERS", "is dict, not a function"),
        (f"{HERE}:of_three", r"function\(replies, prompt\) -> list of numbers: missing a required argument: 'more'"),
        (f"{HERE}:later", "neither async nor a generator"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_by_its_key(pool: WorkerPool, function: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=rf"rewards\.custom\[0\]\.function: {function}: .*{problem}"):
        check_rewards(rewards(function), ["en"], pool)


@pytest.fixture
def module_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("1 / 0", "importing it raised ZeroDivisionError"),
        ("import sys; sys.exit(2)", "importing it raised SystemExit"),
        ("import os; os._exit(2)", "its process died"),
        ("def (", "importing it raised SyntaxError"),
    ],
)
def test_a_module_that_fails_on_import_harms_nobody(module_folder: Path, source: str, problem: str) -> None:
    (module_folder / "bad_reward_module.py").write_text(source)
    with WorkerPool(1) as pool, pytest.raises(RecipeError, match=problem):
        check_rewards(rewards("bad_reward_module:f"), ["en"], pool)


def test_a_module_that_hangs_on_import_is_ended(module_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkwright.rewards.pool.START_SECONDS", 2.0)
    (module_folder / "hanging_reward_module.py").write_text("import time; time.sleep(1000)")
    with WorkerPool(1) as pool, pytest.raises(RecipeError, match="loading what it needs took longer than 2 s"):
        check_rewards(rewards("hanging_reward_module:f"), ["en"], pool)


def test_a_language_that_cannot_be_told_is_refused(pool: WorkerPool) -> None:
    with pytest.raises(RecipeError, match=r"rewards\.language: language 'xx'.*set rewards\.language_target"):
        check_rewards(RewardWeights(language=1.0), ["en", "xx"], pool)
    check_rewards(RewardWeights(language=1.0, language_target="en"), ["en", "xx"], pool)
    with pytest.raises(RecipeError, match="language 'yy'"):
        check_rewards(RewardWeights(language=1.0, language_target="yy"), ["en"], pool)


@pytest.mark.parametrize(
    "value",
    ["text", {"a": 1}, None, [1.0], [1.0, 2.0, 3.0], [1.0, "2"], [1.0, float("inf")], [1.0, 10**400], [1.0, None]],
)
def test_anything_but_a_finite_number_for_each_reply_is_an_error(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.rewards.poison.lengths", lambda replies, prompt: value)
    with pytest.raises(ValueError, match="gave"):
        call_function(f"{HERE}:lengths", [{}, {}], {})


def test_whole_numbers_truth_values_and_tuples_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rewards.poison.lengths", lambda replies, prompt: (1, True, 0.5))
    assert call_function(f"{HERE}:lengths", [{}] * 3, {}) == [1.0, 1.0, 0.5]


def test_any_callable_of_two_arguments_will_do() -> None:
    assert problem_with_reward("tests.rewards.poison:lengths") is None
    assert problem_with_reward("operator:add") is None


def test_the_form_that_is_wanted_is_named() -> None:
    problem = problem_with_reward("tests.rewards.poison:of_three") or ""
    assert problem.startswith("cannot be called as function(replies, prompt) -> list of numbers: missing")
