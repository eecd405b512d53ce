"""The policy-gradient form of the reverse KL, against numbers worked out by hand and the KL's own gradient."""

import math

import pytest
import torch

from thinkwright.algorithms.reverse_kl import sampled_reverse_kl_loss


def test_loss_and_gradient_by_hand() -> None:
    policy = torch.tensor([math.log(0.5), math.log(0.2)], requires_grad=True)
    rollout, old = torch.tensor([math.log(0.25), math.log(0.2)]), torch.tensor([math.log(0.4), math.log(0.2)])
    teacher = torch.tensor([math.log(0.8), math.log(0.1)], requires_grad=True)
    losses, ratios = sampled_reverse_kl_loss(policy, rollout, old, teacher)
    torch.testing.assert_close(ratios, torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(losses, torch.tensor([-2 * math.log(2), math.log(2)]))
    losses.sum().backward()
    torch.testing.assert_close(policy.grad, torch.tensor([-2 * math.log(2), math.log(2)]))
    assert teacher.grad is None


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.5])
def test_over_all_tokens_it_is_the_kl_and_its_gradient(temperature: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(9, requires_grad=True)
    teacher = torch.log_softmax(torch.randn(9), -1)
    policy = torch.log_softmax(logits, -1)
    drawn_from = torch.log_softmax(logits.detach() / temperature, -1)
    losses, _ = sampled_reverse_kl_loss(policy, drawn_from, policy.detach(), teacher)
    expected, exact = (drawn_from.exp() * losses).sum(), (policy.exp() * (policy - teacher)).sum()
    torch.testing.assert_close(expected, exact)
    (ours,), (theirs,) = (torch.autograd.grad(loss, logits, retain_graph=True) for loss in (expected, exact))
    torch.testing.assert_close(ours, theirs)
