"""A policy whose parameters are spread over the ranks (FSDP2), and the way back to a whole one.

Each rank keeps its part of the fp32 master weights, and with them of gradients and optimizer state. A pass gathers one
layer after the other in the compute dtype and lets go of it again. The whole policy that every rank samples from is
another object, in the compute dtype, which takes the new weights after each step.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from thinkwright.config.lora import LoRASettings
from thinkwright.distributed.ranks import Ranks
from thinkwright.models.adapters import merged_weights, with_adapters
from thinkwright.models.policy import Outputs, Policy


@dataclass(frozen=True)
class ShardedPolicy(Policy):
    """A policy for training only: what it computes, it computes together with all other ranks."""

    whole_pass: Any
    """The module within which parameters are gathered."""
    compute_dtype: torch.dtype

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the weights are multiplied in; they are kept in fp32."""
        return self.compute_dtype

    def in_one_pass(self, compute: Callable[[], Outputs]) -> Outputs:
        """See ``Policy``; the other ranks must make a pass at the same time."""
        return self.whole_pass(compute)


class _WholePass(nn.Module):
    """A pass over the model as one module, since FSDP gathers parameters at the border of modules.

    Embedding, last norm and head belong to no layer; they are gathered for the whole of the pass.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[], Any]) -> Any:
        return compute()


def learner_of(policy: Policy, ranks: Ranks, lora: LoRASettings | None, seed: int) -> Policy:
    """The policy that is trained: the one that samples, or a copy of it that has adapters, or is sharded, or both."""
    learner = policy if lora is None else with_adapters(policy, lora, seed)
    return learner if ranks.size == 1 else shard(learner, ranks)


def shard(policy: Policy, ranks: Ranks, *, is_trained: bool = True) -> ShardedPolicy:
    """A copy of a whole policy, spread over the ranks: fp32 if it is trained, else in the dtype it has."""
    model = copy.deepcopy(policy.model)
    if is_trained:
        model.float()
    mesh = init_device_mesh(policy.device.type, (ranks.size,))
    settings = MixedPrecisionPolicy(param_dtype=policy.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for layer in model.get_decoder().layers:
        fully_shard(layer, mesh=mesh, mp_policy=settings)
    whole: Any = fully_shard(_WholePass(model), mesh=mesh, mp_policy=settings)
    for module in whole.modules():
        if isinstance(module, FSDPModule):
            # Losses are divided by what all ranks count, so gradients are summed, not averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return ShardedPolicy(model, policy.tokenizer, policy.device, whole, policy.dtype)


@torch.no_grad()
def copy_weights(source: Policy, target: Policy) -> None:
    """Give a policy another's weights, its adapters added, rounded to the target's dtype; nothing to do where both are
    one object.

    Between sharded ones each rank copies its part. From a sharded to a whole one, every rank must take part.
    """
    if source is target:
        return
    weights = merged_weights(source.model)
    for name, param in target.model.named_parameters():
        value: Any = weights[name]()
        if isinstance(value, DTensor) and not isinstance(param, DTensor):
            value = value.to(param.dtype).full_tensor()  # type: ignore[union-attr]
        if isinstance(value, DTensor) or value.data_ptr() != param.data_ptr():  # else the two share it
            param.copy_(value)
