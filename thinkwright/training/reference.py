"""The reference policy that RL is held near to: a frozen copy of the policy, renewed now and then."""

import copy

from torch import Tensor

from thinkwright.distributed.ranks import Ranks
from thinkwright.distributed.sharding import copy_weights, shard
from thinkwright.models.adapters import ReferenceAdapters, is_adapted, reference_of_adapters
from thinkwright.models.policy import Policy


def reference_of(policy: Policy, learner: Policy, ranks: Ranks) -> Policy:
    """A frozen copy of the policy as it is now; of one that learns by adapters, a copy of these alone."""
    if ranks.size == 1 and is_adapted(learner.model):
        return reference_of_adapters(learner)
    if ranks.size > 1:
        reference: Policy = shard(policy, ranks, is_trained=False)
    else:
        reference = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.device)
    reference.model.requires_grad_(False)
    return reference


def renew_reference(learner: Policy, reference: Policy) -> None:
    """Let the reference become the policy that learns."""
    if isinstance(reference, ReferenceAdapters):
        reference.renew()
    else:
        copy_weights(learner, reference)


def reference_tensors(reference: Policy) -> dict[str, Tensor]:
    """What a checkpoint must hold of it, by name."""
    if isinstance(reference, ReferenceAdapters):
        return reference.kept
    return {name: param.detach() for name, param in reference.model.named_parameters()}
