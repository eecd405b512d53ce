"""Attention of a packed tree on a CUDA GPU, by torch's flex attention: one compiled kernel that skips hidden blocks."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from thinkwright.models.token_tree import TokenTree


class FlexContext:
    """The attention context of one packed forward and backward pass, with the output of ``PackedContext``."""

    def __init__(self, tree: TokenTree, device: torch.device) -> None:
        self._device, self._num_tokens = device, len(tree.tokens)
        self._mask: Any = create_block_mask(
            visible_in(tree.subtree_ends(device)),
            None,
            None,
            self._num_tokens,
            self._num_tokens,
            device=device,
            _compile=device.type == "cuda",  # else all pairs of tokens would be made at once
        )

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention output (1, N, H, D) for query (1, H, N, D) and key, value (1, K, N, D)."""
        kernel = _compiled() if self._device.type == "cuda" else flex_attention
        out: Any = kernel(query, key, value, block_mask=self._mask, scale=scaling, enable_gqa=True)
        return out.transpose(1, 2)


def visible_in(subtree_ends: Tensor) -> Callable[..., Tensor]:
    """The rule of the tree: a key is seen by what follows it within its subtree."""

    def is_visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < subtree_ends[key])

    return is_visible


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)
