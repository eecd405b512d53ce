"""Losses, their gradients and KL equal TRL 1.16's on identical tensors, in fp64 to 1e-6 (extra ``peers``)."""

import importlib.util
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from thinkwright.algorithms.advantages import batch_reward_std, batch_std, group_mean, group_std
from thinkwright.algorithms.kl import k3
from thinkwright.algorithms.policy_loss import POLICY_LOSSES
from thinkwright.algorithms.reductions import REDUCTIONS
from thinkwright.algorithms.tokens import LossTokens

pytestmark = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason='pip install "thinkwright[peers]"')
B, T, LIMIT, BETA = 6, 9, 12, 0.04
LENGTHS = torch.tensor([9, 4, 1, 7, 3, 9])
MASK = (torch.arange(T) < LENGTHS[:, None]).long()
# TRL's name, ours, our reduction, and the settings of both.
CASES: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("grpo", "clip", "sequence_mean", {"clip_low": 0.2, "clip_high": 0.28}, {}),
    ("bnpo", "clip", "token_mean", {"clip_low": 0.2, "clip_high": 0.2}, {}),
    ("dr_grpo", "clip", "fixed_length", {"clip_low": 0.1, "clip_high": 0.28}, {}),
    ("dapo", "clip", "token_mean", {"clip_low": 0.2, "clip_high": 0.28}, {}),
    ("grpo", "gspo", "sequence_mean", {"clip_low": 0.03, "clip_high": 0.04}, {"importance_sampling_level": "sequence"}),
    ("cispo", "cispo", "token_mean", {"weight_cap": 1.3}, {}),
    ("sapo", "sapo", "sequence_mean", {"gate_positive": 1.0, "gate_negative": 1.05}, {}),
]


def values(seed: int) -> dict[str, Tensor]:
    """Log-probabilities of B completions of up to T tokens under four policies, and advantages."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    old = -draw(B, T).abs() - 0.1
    return {
        "logprobs": old + 0.3 * draw(B, T),
        "old": old,
        "ref": old + 0.2 * draw(B, T),
        "advantages": draw(B),
    }


def theirs(
    name: str, settings: dict[str, Any], options: dict[str, Any], found: dict[str, Tensor], beta: float
) -> Tensor:
    """The loss that TRL's own code computes, its model's pass replaced by the given log-probabilities."""
    from trl import GRPOTrainer

    trainer: Any = GRPOTrainer.__new__(GRPOTrainer)
    trainer.__dict__ |= {
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "beta": beta,
        "args": SimpleNamespace(
            use_bias_correction_kl=options.pop("unbiased", False),
            delta=None,
            sapo_temperature_pos=settings.get("gate_positive"),
            sapo_temperature_neg=settings.get("gate_negative"),
            steps_per_generation=1,
        ),
        "loss_type": name,
        "epsilon_low": settings.get("clip_low"),
        "epsilon_high": settings.get("clip_high", settings.get("weight_cap")),
        "use_vllm": False,
        "max_completion_length": LIMIT,
        "current_gradient_accumulation_steps": 1,
        "_entropy_bonus_enabled": False,
        "_metrics": defaultdict(lambda: defaultdict(list)),
        "accelerator": SimpleNamespace(
            num_processes=1, gather=lambda x: x, gather_for_metrics=lambda x: x, reduce=lambda x, reduction: x
        ),
        "model": SimpleNamespace(training=True),
        "_get_per_token_logps_and_entropies": lambda *_, **__: (found["logprobs"], torch.zeros(B, T), None),
        **options,
    }
    inputs = {
        "prompt_ids": torch.zeros(B, 1, dtype=torch.long),
        "prompt_mask": torch.ones(B, 1, dtype=torch.long),
        "completion_ids": torch.zeros(B, T, dtype=torch.long),
        "completion_mask": MASK,
        "advantages": found["advantages"],
        "old_per_token_logps": found["old"],
        "ref_per_token_logps": found["ref"],
        "num_items_in_batch": MASK.sum(),
    }
    return trainer._compute_loss(None, inputs)


def ours(
    name: str,
    reduction: str,
    settings: dict[str, Any],
    found: dict[str, Tensor],
    beta: float,
    *,
    unbiased: bool = False,
) -> Tensor:
    flat = {key: value[MASK.bool()] for key, value in found.items() if key != "advantages"}
    sequences = torch.arange(B).repeat_interleave(LENGTHS)
    advantages = found["advantages"][sequences]
    tokens = LossTokens(flat["logprobs"], flat["old"], flat["old"], advantages, sequences)
    per_token, _ = POLICY_LOSSES[name](tokens, **settings)
    kl = k3(flat["logprobs"], flat["ref"]) * (tokens.ratio if unbiased else 1)
    weights = REDUCTIONS[reduction](LENGTHS, torch.arange(B) // 2, LIMIT)[sequences]
    return ((per_token + beta * kl) * weights.double()).sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [0.0, BETA])
@pytest.mark.parametrize(("trl_name", "name", "reduction", "settings", "options"), CASES)
def test_loss_and_gradient_equal_trl(
    trl_name: str, name: str, reduction: str, settings: dict[str, Any], options: dict[str, Any], beta: float, seed: int
) -> None:
    found = values(seed)
    results = []
    for compute in (
        lambda given: theirs(trl_name, settings, dict(options), given, beta),
        lambda given: ours(name, reduction, settings, given, beta),
    ):
        logprobs = found["logprobs"].clone().requires_grad_()
        loss = compute(found | {"logprobs": logprobs})
        (gradient,) = torch.autograd.grad(loss, logprobs)
        results.append((loss.detach(), gradient))
    torch.testing.assert_close(results[1], results[0], atol=1e-6, rtol=1e-6)
    assert results[0][1].any()


def test_the_unbiased_kl_equals_trl() -> None:
    found, settings = values(7), {"clip_low": 0.2, "clip_high": 0.28}
    their_loss = theirs("grpo", settings, {"unbiased": True}, found, BETA)
    torch.testing.assert_close(
        ours("clip", "sequence_mean", settings, found, BETA, unbiased=True), their_loss, atol=1e-6, rtol=1e-6
    )


def test_advantages_are_those_of_trls_formulas() -> None:
    # As grpo_trainer.py has them, without its 1e-4 beside the standard deviation, which is torch's (n - 1) there.
    torch.manual_seed(0)
    rewards = torch.rand(5, 4)
    counted = torch.ones(5, 4, dtype=torch.bool)
    centered = rewards - rewards.mean(1, keepdim=True)
    torch.testing.assert_close(group_mean(rewards, counted), centered)
    torch.testing.assert_close(group_std(rewards, counted) * (3 / 4) ** 0.5, centered / rewards.std(1, keepdim=True))
    torch.testing.assert_close(batch_reward_std(rewards, counted) * (19 / 20) ** 0.5, centered / rewards.std())
    torch.testing.assert_close(batch_std(rewards, counted) * (19 / 20) ** 0.5, centered / centered.std())
