"""Tokens that prompts begin with, read once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from thinkwright.models.packed_attention import KeyValue, PackedContext
from thinkwright.models.policy import Policy
from thinkwright.models.token_tree import pack_rows
from thinkwright.rollout.memory import key_value_shape


@dataclass(frozen=True)
class Prefix:
    """A prefix of P tokens, which may be none, and what the model made of it."""

    token_ids: tuple[int, ...]
    kept: Sequence[KeyValue]
    """Keys and values (K, P, D) per layer."""
    weights_version: int
    """That of the policy which read it."""

    def length_in(self, prompt: Sequence[int]) -> int:
        """P if the prompt begins with it and goes on, else 0."""
        length = len(self.token_ids)
        return length if len(prompt) > length and tuple(prompt[:length]) == self.token_ids else 0


@torch.inference_mode()
def read_prefix(policy: Policy, token_ids: tuple[int, ...]) -> Prefix:
    """Send the tokens through the model."""
    if not token_ids:
        layers, heads, size = key_value_shape(policy)
        empty = torch.zeros(heads, 0, size, dtype=policy.dtype, device=policy.device)
        return Prefix((), [(empty, empty)] * layers, policy.weights_version())
    tree = pack_rows([token_ids], first_position=0)
    context = PackedContext(tree, policy.device)
    policy.packed_hidden_states(tree, context)
    kept = [(keys.contiguous(), values.contiguous()) for keys, values in context.kept]
    return Prefix(token_ids, kept, policy.weights_version())
