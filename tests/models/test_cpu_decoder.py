"""The written-out decoding pass gives what the model's own modules give."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from thinkwright.models.cpu_decoder import decode, fits, lay_out_for_few_rows
from thinkwright.models.key_value_store import PAGE, DecodePlan, KeyValueStore
from thinkwright.models.paged_kernel import KernelContext, compiled
from thinkwright.models.policy import Policy, load_policy
from thinkwright.rollout.memory import key_value_shape

NUM_ROWS, PROMPT, OWN = 11, 7, 5


def context_of(policy: Policy, plan: DecodePlan) -> KernelContext:
    layers, heads, size = key_value_shape(policy)
    generator = torch.Generator().manual_seed(3)
    shapes = (layers, NUM_ROWS + 1, heads, PAGE, size), (layers, NUM_ROWS, heads, PROMPT, size)
    pages, prompts = ([torch.randn(shape, generator=generator).to(policy.dtype) for _ in range(2)] for shape in shapes)
    empty = torch.zeros(heads, 0, size, dtype=policy.dtype)
    return KernelContext(KeyValueStore(*pages, *prompts, prefix=[(empty, empty)] * layers), plan)


@pytest.fixture(autouse=True)
def kernel() -> None:
    if compiled() is None:
        pytest.skip("needs a C++ compiler (apt-get install g++)")


def both_passes(policy: Policy) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of a step, by the modules and written out."""
    rows = np.arange(NUM_ROWS)
    plan = DecodePlan(rows, 0 * rows, 0 * rows + PROMPT, 0 * rows + OWN, rows[:, None], NUM_ROWS)
    tokens, positions = torch.arange(NUM_ROWS) * 17 % 200, torch.full((NUM_ROWS,), PROMPT + OWN - 1)
    with torch.inference_mode():
        expected = policy.hidden_states(tokens[:, None], positions[:, None], context_of(policy, plan))[:, 0]
        return expected, decode(policy, tokens, positions, context_of(policy, plan))


def with_norms_of_their_own(policy: Policy) -> Policy:
    """A new model's are all ones."""
    generator = torch.Generator().manual_seed(1)
    for name, param in policy.model.named_parameters():
        if "norm" in name or "bias" in name:
            param.data = torch.rand(param.shape, generator=generator).to(param.dtype)
    return policy


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_it_gives_what_the_modules_give(
    model_folder: Callable[[str], Path], kind: str, dtype: torch.dtype, tolerance: float
) -> None:
    loaded = load_policy(str(model_folder(kind)), device=torch.device("cpu"), dtype=dtype)
    policy = with_norms_of_their_own(loaded)
    assert fits(policy)
    expected, found = both_passes(policy)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_other_layouts_are_left_to_the_modules(policy: Policy) -> None:
    other = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.device)
    other.model.config.hidden_act = "gelu"
    assert not fits(other)
    other = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.device)

    class Adapted(torch.nn.Linear):
        """As an adapter's layer would be: more than its weight."""

    layer = other.model.get_decoder().layers[-1].mlp
    layer.down_proj = Adapted(layer.down_proj.in_features, layer.down_proj.out_features)
    assert not fits(other)


def test_weights_laid_out_anew_are_the_same_and_take_what_is_written_to_them(policy: Policy) -> None:
    plain = Policy(copy.deepcopy(with_norms_of_their_own(policy).model), policy.tokenizer, policy.device)
    lay_out_for_few_rows(policy)
    weights, old = policy.model.state_dict(), plain.model.state_dict()
    assert list(weights) == list(old)
    assert all(torch.equal(weights[name], value) for name, value in old.items())
    with torch.no_grad():
        for written in (plain, policy):
            for param in written.model.parameters():
                param.copy_(param * 0.5 + 0.01)
    torch.testing.assert_close(both_passes(policy)[1], both_passes(plain)[0], rtol=1e-5, atol=1e-5)
