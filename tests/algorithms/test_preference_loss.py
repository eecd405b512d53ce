"""Losses of reward models against their formulas, gradients included."""

import math

import pytest
import torch

from thinkwright.algorithms.preference_loss import pairwise_loss, pointwise_loss

CHOSEN, REJECTED = [2.0, -1.0, 0.5], [0.5, 1.0, 0.5]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_pairwise_loss_and_gradient() -> None:
    chosen, rejected = (torch.tensor(scores, requires_grad=True) for scores in (CHOSEN, REJECTED))
    loss = pairwise_loss(chosen, rejected, count=4)
    margins = [c - r for c, r in zip(CHOSEN, REJECTED, strict=True)]
    assert loss.item() == pytest.approx(sum(-math.log(sigmoid(margin)) for margin in margins) / 4)
    loss.backward()
    wanted = [-(1 - sigmoid(margin)) / 4 for margin in margins]
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx(wanted)
    assert rejected.grad.tolist() == pytest.approx([-value for value in wanted])


def test_only_differences_matter_to_pairs() -> None:
    chosen, rejected = torch.tensor(CHOSEN), torch.tensor(REJECTED)
    moved = pairwise_loss(chosen + 3, rejected + 3, count=3)
    assert moved.item() == pytest.approx(pairwise_loss(chosen, rejected, count=3).item(), rel=1e-6)


def test_pointwise_loss_and_gradient() -> None:
    scores, labels = torch.tensor(CHOSEN, requires_grad=True), torch.tensor([1.0, 0.0, 1.0])
    loss = pointwise_loss(scores, labels, count=5)
    wanted = -(math.log(sigmoid(2.0)) + math.log(1 - sigmoid(-1.0)) + math.log(sigmoid(0.5))) / 5
    assert loss.item() == pytest.approx(wanted)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == pytest.approx(
        [(sigmoid(score) - label) / 5 for score, label in zip(CHOSEN, (1.0, 0.0, 1.0), strict=True)]
    )


@pytest.mark.parametrize("size", [100.0, 1e4])
def test_far_scores_give_finite_losses(size: float) -> None:
    far, near = torch.tensor([size]), torch.tensor([-size])
    assert pairwise_loss(near, far, count=1).item() == pytest.approx(2 * size)
    assert pairwise_loss(far, near, count=1).item() == 0.0
    assert pointwise_loss(near, torch.tensor([1.0]), count=1).item() == pytest.approx(size)
