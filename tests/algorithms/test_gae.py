"""Advantages of single tokens, against numbers by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thinkwright.algorithms.gae import generalized_advantages, whitened

REWARDS = torch.tensor([1.0, 0.0])
VALUES = torch.tensor([0.5, 0.25, 0.75, 0.4])
SEQUENCES = torch.tensor([0, 0, 0, 1])


def test_with_lambda_one_it_is_the_reward_less_what_was_expected() -> None:
    found = generalized_advantages(REWARDS, VALUES, SEQUENCES, 1.0)
    assert found.tolist() == pytest.approx([0.5, 0.75, 0.25, -0.4])


def test_with_lambda_zero_it_is_what_the_next_token_changed() -> None:
    found = generalized_advantages(REWARDS, VALUES, SEQUENCES, 0.0)
    assert found.tolist() == pytest.approx([-0.25, 0.5, 0.25, -0.4])


def test_between_them_later_changes_count_less() -> None:
    found = generalized_advantages(REWARDS, VALUES, SEQUENCES, 0.5)
    assert found.tolist() == pytest.approx([-0.25 + 0.5 * 0.5 + 0.25 * 0.25, 0.5 + 0.5 * 0.25, 0.25, -0.4])


@given(
    st.lists(st.lists(st.floats(-2, 2), min_size=1, max_size=6), min_size=1, max_size=5),
    st.floats(0, 1),
)
def test_it_is_the_published_sum_for_any_lengths(rows: list[list[float]], gae_lambda: float) -> None:
    rewards = [sum(row) for row in rows]
    expected: list[float] = []
    for row, reward in zip(rows, rewards, strict=True):
        deltas = [after - before for before, after in zip(row, [*row[1:], reward], strict=True)]
        expected += [sum(gae_lambda**k * delta for k, delta in enumerate(deltas[t:])) for t in range(len(row))]
    sequences = torch.tensor([i for i, row in enumerate(rows) for _ in row])
    values = torch.tensor([value for row in rows for value in row])
    found = generalized_advantages(torch.tensor(rewards), values, sequences, gae_lambda)
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_of_no_tokens_there_are_no_advantages() -> None:
    none = torch.zeros(0)
    assert generalized_advantages(none, none, none.long(), 0.9).shape == (0,)


def test_whitened_advantages_have_mean_0_and_deviation_1_over_what_counts() -> None:
    found = whitened(torch.tensor([1.0, 3.0, 50.0]), torch.tensor([True, True, False]))
    assert found.tolist() == pytest.approx([-1.0, 1.0, 0.0])


def test_whitened_advantages_are_divided_by_their_deviation_and_none_counted_give_none() -> None:
    advantages = torch.tensor([1.0, 5.0, 9.0, 9.0])
    assert whitened(advantages, torch.tensor([True, True, False, False])).tolist() == pytest.approx([-1.0, 1.0, 0, 0])
    assert whitened(advantages, torch.zeros(4, dtype=torch.bool)).tolist() == [0.0] * 4


def test_a_completion_without_tokens_is_passed_over() -> None:
    found = generalized_advantages(torch.tensor([1.0, 5.0, 0.0, 5.0]), VALUES, torch.tensor([0, 0, 0, 2]), 1.0)
    assert found.tolist() == pytest.approx([0.5, 0.75, 0.25, -0.4])
