"""The reference policy that RL is held near to: a frozen copy of the policy, renewed now and then."""

import copy

import torch
from torch import Tensor

from thinkwright.config.lora import LoRASettings
from thinkwright.distributed.ranks import Ranks
from thinkwright.distributed.sharding import copy_weights, shard
from thinkwright.models.adapters import (
    ReferenceAdapters,
    adapter_tensors,
    is_adapted,
    reference_of_adapters,
    with_adapters,
)
from thinkwright.models.policy import Policy


def reference_of(policy: Policy, learner: Policy, ranks: Ranks, lora: LoRASettings | None, seed: int) -> Policy:
    """A frozen copy of the policy as it is before the first step.

    Of one that learns by adapters, it is other adapters for the learner's weights. FSDP's parameters cannot be
    exchanged for the time of a pass, so on several ranks these have a sharded model of their own.
    """
    if lora is not None and ranks.size == 1:
        return reference_of_adapters(learner)
    if lora is not None:
        reference: Policy = shard(with_adapters(policy, lora, seed), ranks)
    elif ranks.size > 1:
        reference = shard(policy, ranks, is_trained=False)
    else:
        reference = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.device)
    reference.model.requires_grad_(False)
    return reference


def renew_reference(learner: Policy, reference: Policy) -> None:
    """Let the reference become the policy that learns."""
    if isinstance(reference, ReferenceAdapters):
        reference.renew()
    elif is_adapted(reference.model):
        found = adapter_tensors(learner.model)
        with torch.no_grad():
            for name, param in adapter_tensors(reference.model).items():
                param.copy_(found[name])
    else:
        copy_weights(learner, reference)


def reference_tensors(reference: Policy) -> dict[str, Tensor]:
    """What a checkpoint must hold of it, by name: the same names on any number of ranks."""
    if isinstance(reference, ReferenceAdapters):
        return reference.kept
    if is_adapted(reference.model):
        return {name: param.detach() for name, param in adapter_tensors(reference.model).items()}
    return {name: param.detach() for name, param in reference.model.named_parameters()}
