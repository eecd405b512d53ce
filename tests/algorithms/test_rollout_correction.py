"""Weights of tokens that another program drew, against hand-worked numbers."""

import math

import pytest
import torch

from thinkwright.algorithms.rollout_correction import CORRECTIONS, band_weights, truncated_weights
from thinkwright.algorithms.tokens import LossTokens

RATIOS = torch.tensor([1.0, 0.25, 0.6, 1.9, 2.0, 5.0])
OLD, ROLLOUT = RATIOS.log() - 1.5, torch.full((6,), -1.5)
TOKENS = LossTokens(OLD, OLD, ROLLOUT, torch.zeros(6), torch.arange(6))


def test_truncated_weights_are_the_quotients_up_to_the_cap() -> None:
    found = truncated_weights(TOKENS, 2.0)
    assert found.tolist() == pytest.approx([1.0, 0.25, 0.6, 1.9, 2.0, 2.0])


def test_band_weights_leave_out_what_lies_outside() -> None:
    assert band_weights(TOKENS, 2.5).tolist() == pytest.approx([1.0, 0.0, 0.6, 1.9, 2.0, 0.0])


@pytest.mark.parametrize("name", CORRECTIONS)
def test_without_a_gap_every_weight_is_one(name: str) -> None:
    tokens = LossTokens(OLD, OLD, OLD, torch.zeros(6), torch.arange(6))
    assert torch.equal(CORRECTIONS[name](tokens, 1.0 + math.ulp(1.0)), torch.ones(6))
