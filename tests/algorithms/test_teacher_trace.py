"""The loss of a teacher's trace, against numbers by hand."""

import pytest
import torch

from thinkwright.algorithms.teacher_trace import shaped_loss


def test_a_trace_weighs_by_its_probability_shaped() -> None:
    probs = torch.tensor([0.9, 0.1, 0.01])
    found = shaped_loss(probs.log(), torch.tensor([2.0, 2.0, -1.0]), 0.1)
    assert found.tolist() == pytest.approx([-2 * 0.9, -2 * 0.5, 0.01 / 0.11])


def test_unlikely_tokens_are_learned_from_more_than_by_probability_alone() -> None:
    logprobs = torch.tensor([0.9, 0.1, 0.01], dtype=torch.float64).log().requires_grad_()
    shaped_loss(logprobs, torch.ones(3, dtype=torch.float64), 0.1).sum().backward()
    assert logprobs.grad is not None
    # -shaping p / (p + shaping)^2, by the log-probability
    assert logprobs.grad.tolist() == pytest.approx([-0.09, -0.25, -0.001 / 0.0121])
