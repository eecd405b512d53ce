"""A policy prepared for sampling is the same policy, faster."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from thinkwright.models.cpu_sampling import KernelNorm, prepare_for_sampling
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.token_tree import pack_rows

ROWS = [(5, 9, 301, 44, 7), (3, 200), (8,) * 30]


def hidden_states(policy: Policy) -> torch.Tensor:
    tree = pack_rows(ROWS, first_position=0)
    with torch.inference_mode():
        return policy.packed_hidden_states(tree, PackedContext(tree, policy.device)).float()


def norms_of(policy: Policy) -> list[KernelNorm]:
    return [module for module in policy.model.modules() if isinstance(module, KernelNorm)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_a_prepared_policy_has_the_same_parameters_and_gives_the_same(
    model_folder: Callable[[str], Path], dtype: torch.dtype, tolerance: float
) -> None:
    for kind in ("qwen2", "qwen3", "llama"):
        policy = load_policy(str(model_folder(kind)), device=torch.device("cpu"), dtype=dtype)
        generator = torch.Generator().manual_seed(1)
        for name, param in policy.model.named_parameters():
            if "norm" in name:  # which are all ones in a new model
                param.data = torch.rand(param.shape, generator=generator).to(dtype)
        before, weights = hidden_states(policy), {k: v.clone() for k, v in policy.model.state_dict().items()}
        prepare_for_sampling(policy)
        torch.testing.assert_close(hidden_states(policy), before, rtol=tolerance, atol=tolerance)
        after = policy.model.state_dict()
        assert list(after) == list(weights)
        assert all(torch.equal(after[name], value) for name, value in weights.items())
        assert norms_of(policy)


def test_new_weights_that_are_written_in_place_count(policy: Policy) -> None:
    plain = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.device)
    prepare_for_sampling(policy)
    before = hidden_states(policy)
    with torch.no_grad():
        for written in (plain, policy):
            for param in written.model.parameters():
                param.copy_(param * 0.5 + 0.01)
    assert not torch.allclose(hidden_states(policy), before, atol=1e-3)
    torch.testing.assert_close(hidden_states(policy), hidden_states(plain), rtol=1e-5, atol=1e-5)


def test_a_norm_that_does_something_else_is_left_alone(policy: Policy) -> None:
    """Gemma's scales by 1 + weight; it has the same fields."""

    class OtherRMSNorm(torch.nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.weight, self.variance_epsilon = torch.nn.Parameter(torch.rand(size)), 1e-6

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.rms_norm(hidden, self.weight.shape, 1 + self.weight, self.variance_epsilon)

    policy.model.model.norm = OtherRMSNorm(policy.model.config.hidden_size)
    prepare_for_sampling(policy)
    assert isinstance(policy.model.model.norm, OtherRMSNorm)
    assert norms_of(policy)
