"""Keys and values of everything that is being sampled, and where the tokens of one decoding step stand among them.

A token sees the prefix if its prompt begins with it (keys and values once for all), the rest of its prompt (once for
the group) and its completion's own earlier tokens. The own ones lie in pages of ``PAGE`` tokens; live pages are always
the first of the pool.

Shapes: B running completions, K key-value heads, D head size, L tokens of the longest prompt, C pages of the longest
completion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from thinkwright.models.packed_attention import KeyValue

PAGE = 32
"""Tokens a page holds: smaller ones waste less at the end of each completion, larger ones make fewer products."""


@dataclass
class KeyValueStore:
    """Keys and values of all layers. What is not written yet is zero: it gets weight zero, and must not be NaN."""

    page_keys: Tensor
    """(layers, pages, K, PAGE, D); the last page is where fillers write."""
    page_values: Tensor
    prompt_keys: Tensor
    """(layers, prompt slots, K, L, D)"""
    prompt_values: Tensor
    prefix: list[KeyValue]
    """Per layer (K, P, D) of tokens that prompts begin with; P may be 0."""

    def move_pages(self, sources: Tensor, targets: Tensor) -> None:
        """Copy pages over others, in all layers."""
        self.page_keys[:, targets] = self.page_keys[:, sources]
        self.page_values[:, targets] = self.page_values[:, sources]

    def write_prompts(self, kept: list[KeyValue], slots: Tensor, columns: Tensor) -> None:
        """Store the keys and values (K, N, D) per layer of N prompt tokens, each at its slot and column (N,)."""
        for layer, (keys, values) in enumerate(kept):
            self.prompt_keys[layer, slots, :, columns] = keys.transpose(0, 1)
            self.prompt_values[layer, slots, :, columns] = values.transpose(0, 1)

    def write_prefix(self, kept: Sequence[KeyValue]) -> None:
        """Put another reading of the same tokens in the prefix's place."""
        for old, new in zip(self.prefix, kept, strict=True):
            for target, source in zip(old, new, strict=True):
                target.copy_(source)


@dataclass(frozen=True)
class DecodePlan:
    """Where the new tokens of one decoding step stand, one for each running completion; int64 arrays.

    The compiled kernel also takes tokens of prompts that are read in the same pass, as rows behind the others.
    """

    row_prompts: np.ndarray
    """(B,) prompt slot of each row."""
    prefix_lengths: np.ndarray
    """(B,) tokens of the prefix that it sees: all, or none if its prompt does not begin with it."""
    prompt_lengths: np.ndarray
    """(B,) tokens of its prompt slot that it sees: all; of a prompt's token, those up to itself."""
    own_lengths: np.ndarray
    """(B,) tokens of its completion, the new one included; 0 for a prompt's token."""
    page_table: np.ndarray
    """(B, C) pages of its completion, in order; beyond its last, anything."""
    num_pages: int
    """Live pages."""
