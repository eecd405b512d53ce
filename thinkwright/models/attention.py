"""Our attention, plugged into transformers' own modules through its attention interface; no model code is forked.

G completions of one prompt read one copy of the prompt's keys and values, in sampling and in the update. A context
object travels through the model's forward as the keyword ``attention_context`` and decides what a layer's new tokens
attend to:

``PromptContext``      prompts, right-padded; attends causally and keeps every layer's keys and values
``CompletionContext``  whole completions (the update): each attends to its group's prompt and causally to itself
``DecodeContext``      one new token per completion (sampling), earlier tokens in preallocated buffers

Shapes: P prompts, G group size, S = P * G completions, H query heads, K key-value heads, R = H / K, L prompt tokens,
T completion tokens, D head size.
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor

ATTENTION_NAME = "thinkwright"
_FIRST_CAPACITY = 64


class AttentionContext(Protocol):
    """What a forward pass attends to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention output (B, T, H, D) for query (B, H, T, D) and key, value (B, K, T, D) of the new tokens."""
        ...


class PromptContext:
    """Causal attention over right-padded prompts (P, L); keeps keys and values, each (P, K, L, D), per layer."""

    def __init__(self, num_tokens: Tensor) -> None:
        self.num_tokens = num_tokens  # (P,)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Padding stands to the right of every real token, so the causal mask alone keeps it out."""
        assert layer == len(self.keys), "layers run in order"
        self.keys.append(key)
        self.values.append(value)
        length = query.shape[2]
        future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
        scores = (_fold(query * scaling, key) @ key.mT).unflatten(2, (-1, length))  # (P, K, R, L, L)
        weights = _softmax(scores.masked_fill(future, -math.inf))
        out = weights.flatten(2, 3) @ value  # (P, K, R*L, D)
        return out.unflatten(2, (-1, length)).flatten(1, 2).transpose(1, 2)

    def select(self, prompts: Tensor) -> "PromptContext":
        """The same for the prompts at the given indices only."""
        chosen = PromptContext(self.num_tokens[prompts])
        chosen.keys = [key[prompts] for key in self.keys]
        chosen.values = [value[prompts] for value in self.values]
        return chosen


class CompletionContext:
    """Completions (S, T) in prompt order: each attends to its prompt's keys and values and causally to itself."""

    def __init__(self, prompts: PromptContext) -> None:
        self._prompts = prompts

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Two score blocks, prompt and own, under one softmax."""
        length = query.shape[2]
        own_key, own_value = _by_prompt(key, self._prompts), _by_prompt(value, self._prompts)
        future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
        return _attend_prompt_and_own(self._prompts, layer, query, own_key, own_value, scaling, future)


class DecodeContext:
    """One new token per completion; keys and values of earlier ones in growing buffers (P, K, G, capacity, D)."""

    def __init__(self, prompts: PromptContext, group_size: int) -> None:
        self._prompts = prompts
        first = prompts.keys[0]
        shape = (first.shape[0], first.shape[1], group_size, _FIRST_CAPACITY, first.shape[3])
        self._keys = [first.new_zeros(shape) for _ in prompts.keys]
        self._values = [first.new_zeros(shape) for _ in prompts.keys]
        self.num_tokens = 0
        """Tokens per completion already in the buffers; the caller counts up after each forward pass."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Append the token's key and value, then attend to the prompt and all own tokens so far."""
        last = self.num_tokens
        if last == self._keys[layer].shape[3]:
            self._keys[layer] = _with_double_capacity(self._keys[layer])
            self._values[layer] = _with_double_capacity(self._values[layer])
        self._keys[layer][:, :, :, last] = _by_prompt(key, self._prompts)[:, :, :, 0]
        self._values[layer][:, :, :, last] = _by_prompt(value, self._prompts)[:, :, :, 0]
        own_key = self._keys[layer][:, :, :, : last + 1]
        own_value = self._values[layer][:, :, :, : last + 1]
        return _attend_prompt_and_own(self._prompts, layer, query, own_key, own_value, scaling, None)

    def keep(self, prompts: Tensor, members: Tensor) -> None:
        """Go on with the prompts at the given indices (P',) and, of each, the members (P', G') only."""
        self._prompts = self._prompts.select(prompts)
        rows = prompts[:, None]
        self._keys = [key.transpose(1, 2)[rows, members].transpose(1, 2).contiguous() for key in self._keys]
        self._values = [value.transpose(1, 2)[rows, members].transpose(1, 2).contiguous() for value in self._values]


def _with_double_capacity(buffer: Tensor) -> Tensor:
    return torch.cat((buffer, torch.zeros_like(buffer)), dim=3)


def _attend_prompt_and_own(
    prompts: PromptContext,
    layer: int,
    query: Tensor,
    own_key: Tensor,
    own_value: Tensor,
    scaling: float,
    mask: Tensor | None,
) -> Tensor:
    """Attention of query (S, H, T, D) to its prompt and to own keys (P, K, G, T', D); returns (S, T, H, D)."""
    prompt_key, prompt_value = prompts.keys[layer], prompts.values[layer]
    num_prompts, num_kv, prompt_length, size = prompt_key.shape
    group, length = own_key.shape[2], query.shape[2]
    folded = _by_prompt((query * scaling).unflatten(1, (num_kv, -1)).flatten(2, 3), prompts)  # (P, K, G, R*T, D)
    own = folded @ own_key.mT  # (P, K, G, R*T, T')
    if mask is not None:
        own = own.unflatten(3, (-1, length)).masked_fill(mask, -math.inf).flatten(3, 4)
    shared = (folded.flatten(2, 3) @ prompt_key.mT).unflatten(2, (group, -1))  # (P, K, G, R*T, L)
    is_padding = torch.arange(prompt_length, device=query.device) >= prompts.num_tokens[:, None]  # (P, L)
    if bool(is_padding.any()):
        shared = shared.masked_fill(is_padding[:, None, None, None], -math.inf)
    weights = _softmax(torch.cat((shared, own), dim=-1))
    shared_weights, own_weights = weights.split((prompt_length, own.shape[-1]), dim=-1)
    out = (shared_weights.flatten(2, 3) @ prompt_value).unflatten(2, (group, -1)) + own_weights @ own_value
    out = out.view(num_prompts, num_kv, group, -1, length, size).permute(0, 2, 4, 1, 3, 5)  # (P, G, T, K, R, D)
    return out.reshape(num_prompts * group, length, -1, size)


def _fold(query: Tensor, key: Tensor) -> Tensor:
    """Query heads (B, H, T, D) beside the key-value head they read: (B, K, R*T, D)."""
    return query.unflatten(1, (key.shape[1], -1)).flatten(2, 3)


def _by_prompt(states: Tensor, prompts: PromptContext) -> Tensor:
    """(S, K, N, D) as (P, K, G, N, D)."""
    return states.unflatten(0, (prompts.num_tokens.shape[0], -1)).transpose(1, 2)


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension in fp32, returned in the scores' dtype."""
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)


def attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    attention_context: AttentionContext,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls in every layer; masks are the context's business."""
    return attention_context.attend(int(module.layer_idx), query, key, value, scaling), None  # type: ignore[arg-type]
