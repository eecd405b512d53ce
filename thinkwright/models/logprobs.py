"""Log-probabilities and entropies of tokens from hidden states, in fp32 and in tiles.

A tile holds (tile tokens x vocabulary) logits. The backward pass makes each tile again, in place, so the whole matrix
never exists, forward or backward: it is the memory that decides how long a completion can be trained on.
"""

from typing import Any

import torch
from torch import Tensor

TILE_ELEMENTS = 8 * 1024 * 1024


def token_logprobs(hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of ``tokens`` (N,) and entropies (N,), from hidden (N, E) and head weight (V, E).

    Both in fp32; only the log-probabilities carry a gradient.
    """
    return _TokenLogprobs.apply(hidden, head, tokens, temperature)  # type: ignore[return-value]


def logits_from_hidden(hidden: Tensor, head: Tensor) -> Tensor:
    """Logits (..., V) with the head weight (V, E) given in fp32: so on both sides, rollout and update."""
    return hidden.float() @ head.mT


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        exact = head.float()
        logprobs, entropies, normalizers = (hidden.new_empty(len(tokens), dtype=torch.float32) for _ in range(3))
        for tile in _tiles(len(tokens), len(head)):
            logits = logits_from_hidden(hidden[tile], exact).div_(temperature)
            normalizers[tile] = logits.logsumexp(-1)
            logprobs[tile] = logits.gather(-1, tokens[tile, None])[:, 0] - normalizers[tile]
            logits -= normalizers[tile, None]
            entropies[tile] = -torch.linalg.vecdot(logits.exp(), logits)
        ctx.save_for_backward(hidden, head, tokens, normalizers)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """d logprob / d logits = one_hot(token) - softmax(logits)."""
        hidden, head, tokens, normalizers = ctx.saved_tensors
        exact = head.float()
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(exact)
        for tile in _tiles(len(tokens), len(head)):
            states, grad = hidden[tile].float(), grads[0][tile, None]
            logits = (states @ exact.mT).div_(ctx.temperature)
            grad_logits = logits.sub_(normalizers[tile, None]).exp_().mul_(-grad)
            grad_logits.scatter_add_(-1, tokens[tile, None], grad)
            grad_logits.div_(ctx.temperature)
            grad_hidden[tile] = grad_logits @ exact
            grad_head.addmm_(grad_logits.mT, states)
        return grad_hidden, grad_head.to(head.dtype), None, None


def _tiles(num_tokens: int, vocabulary: int) -> list[slice]:
    size = max(1, TILE_ELEMENTS // vocabulary)
    return [slice(start, start + size) for start in range(0, num_tokens, size)]
