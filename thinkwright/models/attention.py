"""Our attention, plugged into transformers' own modules through its attention interface; no model code is forked.

A context object travels through the model's forward as the keyword ``attention_context`` and decides what a layer's
new tokens attend to: ``PackedContext`` (whole groups in one row: the update, pre-training, prompts), ``FlexContext``
(the same on a CUDA GPU), or ``PagedContext`` (one new token for each completion: sampling). G completions of one prompt
read one copy of its keys and values in all of them.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

ATTENTION_NAME = "thinkwright"


class AttentionContext(Protocol):
    """What a forward pass attends to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention output (B, T, H, D) for query (B, H, T, D) and key, value (B, K, T, D) of the new tokens."""
        ...


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
