"""Advantages against numbers worked out by hand, and what must hold of all of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thinkwright.algorithms.advantages import (
    ADVANTAGES,
    batch_reward_std,
    batch_std,
    group_mean,
    group_std,
    leave_one_out,
    maximum_likelihood,
)
from thinkwright.config import algorithm
from thinkwright.training.groups import GAE

TWO = torch.tensor([[2.0, 0.0, 1.0, 1.0], [3.0, 3.0, 0.0, 0.0]])
ALL = torch.ones(2, 4, dtype=torch.bool)
STD = math.sqrt(2 / 4)


def test_the_recipe_knows_the_same_names() -> None:
    assert (*ADVANTAGES, GAE) == algorithm.ADVANTAGES


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (group_std, [[1 / STD, -1 / STD, 0, 0], [1, 1, -1, -1]]),
        (group_mean, [[1, -1, 0, 0], [1.5, 1.5, -1.5, -1.5]]),
        # Of the eight differences: (1 + 1 + 4 * 2.25) / 8. Of the eight rewards, mean 1.25: (24 - 12.5) / 8.
        (batch_std, [[x / math.sqrt(11 / 8) for x in row] for row in ([1, -1, 0, 0], [1.5, 1.5, -1.5, -1.5])]),
        (batch_reward_std, [[x / math.sqrt(11.5 / 8) for x in row] for row in ([1, -1, 0, 0], [1.5, 1.5, -1.5, -1.5])]),
        (leave_one_out, [[4 / 3, -4 / 3, 0, 0], [2, 2, -2, -2]]),  # 2 less the mean of 0, 1 and 1
        (maximum_likelihood, [[1, -1, 0, 0], [1, 1, -1, -1]]),
    ],
)
def test_advantages_by_hand(function: object, expected: list[list[float]]) -> None:
    torch.testing.assert_close(function(TWO, ALL), torch.tensor(expected, dtype=torch.float32))  # type: ignore[operator]


def test_a_rare_right_answer_weighs_the_more_the_rarer_it_is() -> None:
    rewards = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 0]])
    found = maximum_likelihood(rewards, torch.ones(1, 8, dtype=torch.bool))
    # The mean over right answers is 8 / 8 of its own gradient, less what the mean over all has of each.
    torch.testing.assert_close(found, torch.tensor([[7.0] + [-1.0] * 7]))


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_group_without_variance_teaches_nothing(name: str) -> None:
    rewards = torch.tensor([[0.1] * 4, [1.0, 0.0, 0.0, 0.0]])
    found = ADVANTAGES[name](rewards, ALL)
    assert not found[0].any()
    assert found[1, 0] > 0 > found[1, 1]
    assert not ADVANTAGES[name](torch.full((2, 4), 0.1), ALL).any()


@pytest.mark.parametrize("name", ADVANTAGES)
def test_members_left_out_change_no_baseline_and_get_nothing(name: str) -> None:
    counted = torch.tensor([[True, True, True, False], [True, True, False, False]])
    found = ADVANTAGES[name](torch.tensor([[2.0, 0.0, 1.0, 50.0], [1.0, 0.0, -9.0, 7.0]]), counted)
    other = ADVANTAGES[name](torch.tensor([[2.0, 0.0, 1.0, -3.0], [1.0, 0.0, 0.5, 0.5]]), counted)
    assert not found[~counted].any()
    torch.testing.assert_close(found, other)


@given(
    rewards=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5),
    shift=st.integers(-3, 3),
    scale=st.sampled_from([0.5, 2.0, 8.0]),
)
@pytest.mark.parametrize("name", ADVANTAGES)
def test_shift_scale_and_order_of_rewards(name: str, rewards: list[list[int]], shift: int, scale: float) -> None:
    given_rewards = torch.tensor(rewards, dtype=torch.float32)
    counted = torch.ones_like(given_rewards, dtype=torch.bool)
    found = ADVANTAGES[name](given_rewards, counted)
    torch.testing.assert_close(found.sum(1), torch.zeros(len(rewards)), atol=1e-4, rtol=0)
    scaled = ADVANTAGES[name](given_rewards * scale, counted)
    is_relative = name in ("group_std", "batch_std", "batch_reward_std", "maximum_likelihood")
    torch.testing.assert_close(scaled, found if is_relative else found * scale)
    if name != "maximum_likelihood":  # which is for rewards of 0 and 1: its scale is their mean
        torch.testing.assert_close(ADVANTAGES[name](given_rewards + shift, counted), found)
    torch.testing.assert_close(ADVANTAGES[name](given_rewards.flip(1), counted), found.flip(1))
    torch.testing.assert_close(ADVANTAGES[name](given_rewards.flip(0), counted), found.flip(0))


@pytest.mark.parametrize("name", ADVANTAGES)
def test_of_groups_with_one_member_or_none_counted_nothing_is_learned(name: str) -> None:
    rewards = torch.tensor([[5.0, 1.0, 2.0], [5.0, 1.0, 2.0]])
    found = ADVANTAGES[name](rewards, torch.tensor([[True, False, False], [False, False, False]]))
    assert found.tolist() == [[0.0] * 3] * 2


def test_two_that_are_counted_are_each_others_baseline() -> None:
    rewards, counted = torch.tensor([[1.0, 0.0, 7.0]]), torch.tensor([[True, True, False]])
    expected = {"leave_one_out": 1.0, "maximum_likelihood": 1.0, "group_std": 1.0, "group_mean": 0.5}
    for name, value in expected.items():
        assert ADVANTAGES[name](rewards, counted)[0].tolist() == pytest.approx([value, -value, 0.0])


def test_a_group_that_teaches_nothing_stays_so_beside_one_that_teaches() -> None:
    rewards = torch.tensor([[0.9] * 3, [1.0, 0.0, 0.0]])
    assert rewards[0, 0] != rewards[0].sum() / 3  # in fp32
    assert not group_mean(rewards, torch.ones(2, 3, dtype=torch.bool))[0].any()


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_step_of_which_nothing_counts_teaches_nothing(name: str) -> None:
    assert not ADVANTAGES[name](TWO, ~ALL).any()
