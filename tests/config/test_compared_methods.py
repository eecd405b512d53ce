"""The methods that ``make compare`` holds against each other are recipes, and none is another one's double."""

import json

import pytest

from scripts.compare_algorithms import METHODS, interval
from thinkwright.config.load import load_recipe, resolved_json


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_recipe_that_differs_from_the_default_as_it_says(name: str) -> None:
    default = json.loads(resolved_json(load_recipe("tiny/r1-zero")))
    found = json.loads(resolved_json(load_recipe("tiny/r1-zero", METHODS[name])))
    changed = {key for key in default if found[key] != default[key]}
    assert changed <= {"algorithm", "critic", "rewards", "rollout", "teacher_traces"}
    assert bool(changed) == (name != "default")


def test_no_method_is_another_ones_double() -> None:
    recipes = [resolved_json(load_recipe("tiny/r1-zero", overrides)) for overrides in METHODS.values()]
    assert len(set(recipes)) == len(METHODS)


def test_intervals_by_hand() -> None:
    mean, half = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3.0
    assert half == pytest.approx(2.776 * (2.5**0.5) / 5**0.5)
