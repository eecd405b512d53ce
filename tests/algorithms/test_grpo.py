"""Advantages, loss and KL against numbers worked out by hand."""

import math

import pytest
import torch

from thinkwright.algorithms.advantages import group_normalized_advantages
from thinkwright.algorithms.kl import k3
from thinkwright.algorithms.policy_loss import clipped_policy_loss, sequence_mean, token_mean

ALL = torch.ones(1, 4, dtype=torch.bool)


def test_advantage_is_the_distance_from_the_group_mean_in_standard_deviations() -> None:
    advantages = group_normalized_advantages(torch.tensor([[2.0, 0.0, 1.0, 1.0]]), ALL)
    std = math.sqrt((1 + 1 + 0 + 0) / 4)
    torch.testing.assert_close(advantages, torch.tensor([[1 / std, -1 / std, 0.0, 0.0]]))


def test_shifting_or_scaling_rewards_leaves_advantages_as_they_were() -> None:
    rewards = torch.tensor([[0.3, 1.9, 0.0, 1.0]])
    torch.testing.assert_close(
        group_normalized_advantages(rewards, ALL), group_normalized_advantages(rewards * 5 + 3, ALL)
    )


def test_a_group_without_variance_has_no_advantages() -> None:
    assert not group_normalized_advantages(torch.full((1, 4), 0.1), ALL).any()


def test_members_left_out_change_neither_baseline_nor_get_an_advantage() -> None:
    counted = torch.tensor([[True, True, True, False]])
    advantages = group_normalized_advantages(torch.tensor([[2.0, 0.0, 1.0, 50.0]]), counted)
    std = math.sqrt(2 / 3)
    torch.testing.assert_close(advantages, torch.tensor([[1 / std, -1 / std, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "is_clipped"),
    [
        (1.0, 2.0, -2.0, False),
        (1.5, 1.0, -1.28, True),  # above the upper bound, good token: no further push
        (1.5, -1.0, 1.5, False),  # above the upper bound, bad token: pushed down in full
        (0.5, -1.0, 0.8, True),  # below the lower bound, bad token: no further push
        (0.5, 1.0, -0.5, False),
    ],
)
def test_clipped_loss_by_hand(ratio: float, advantage: float, loss: float, is_clipped: bool) -> None:
    logprob = torch.tensor([math.log(ratio) - 1.0], requires_grad=True)
    per_token, clipped = clipped_policy_loss(logprob, torch.tensor([-1.0]), torch.tensor([advantage]), 0.2, 0.28)
    torch.testing.assert_close(per_token, torch.tensor([loss]))
    assert clipped.item() is is_clipped
    (gradient,) = torch.autograd.grad(per_token.sum(), logprob)
    assert (gradient.item() == 0) is is_clipped


def test_on_policy_gradient_is_reinforce_with_baseline() -> None:
    logprobs = torch.tensor([-0.5, -2.0, -1.0], requires_grad=True)
    advantages = torch.tensor([1.0, -2.0, 0.5])
    per_token, _ = clipped_policy_loss(logprobs, logprobs.detach(), advantages, 0.2, 0.2)
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs)
    torch.testing.assert_close(gradient, -advantages)


def test_k3_is_unbiased_and_never_negative() -> None:
    torch.manual_seed(0)
    policy = torch.log_softmax(torch.randn(6), -1)
    reference = torch.log_softmax(torch.randn(6), -1)
    per_token = k3(policy, reference)
    assert (per_token >= 0).all()
    torch.testing.assert_close((policy.exp() * per_token).sum(), (policy.exp() * (policy - reference)).sum())


def test_k3_by_hand() -> None:
    torch.testing.assert_close(
        k3(torch.tensor([0.0]), torch.tensor([math.log(2.0)])), torch.tensor([2 - math.log(2) - 1])
    )


def test_reductions_by_hand() -> None:
    per_token, lengths = torch.tensor([1.0, 1.0, 1.0, 5.0]), torch.tensor([3, 1])
    assert token_mean(per_token, lengths, 4, 2).item() == 2.0
    assert sequence_mean(per_token, lengths, 4, 2).item() == 3.0
