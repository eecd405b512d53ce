"""Log-probabilities and entropies of tokens from hidden states, in fp32 and in tiles.

A tile holds the logits of some tokens for a part of the vocabulary, small enough for a processor's cache. The backward
pass makes each tile again, in place, so the whole matrix never exists, forward or backward: it is the memory that
decides how long a completion can be trained on.
"""

from typing import Any

import torch
from torch import Tensor

TILE_TOKENS = 512
TILE_VOCABULARY = 2048
"""Their product is a tile: 4 MB of logits. Chosen on a CPU; a GPU may want larger ones."""


def token_logprobs(hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of ``tokens`` (N,) and entropies (N,), from hidden (N, E) and head weight (V, E).

    Both in fp32, and both carry a gradient.
    """
    return _TokenLogprobs.apply(hidden, head, tokens, temperature)  # type: ignore[return-value]


def logits_from_hidden(hidden: Tensor, head: Tensor) -> Tensor:
    """Logits (..., V) with the head weight (V, E) given in fp32: so on both sides, rollout and update."""
    return hidden.float() @ head.mT


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        exact = head.float()
        parts = [
            _forward_tile(hidden[tile].float() / temperature, exact, tokens[tile])
            for tile in _tiles(len(tokens), TILE_TOKENS)
        ]
        logprobs, entropies, normalizers = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(hidden, head, tokens, normalizers, entropies)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)  # few losses ask for the entropies' gradient
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """By the logits, with p = softmax(logits): one_hot(token) - p, and for the entropy -p (log p + entropy)."""
        hidden, head, tokens, normalizers, entropies = ctx.saved_tensors
        of_logprobs, of_entropies = grads
        if of_logprobs is None:
            of_logprobs = torch.zeros_like(normalizers)
        exact = head.float()
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(exact)
        for tile in _tiles(len(tokens), TILE_TOKENS):
            states, grad, columns = hidden[tile].float() / ctx.temperature, of_logprobs[tile, None], tokens[tile, None]
            grad_states = torch.zeros_like(states)
            for part in _tiles(len(head), TILE_VOCABULARY):
                logits = states @ exact[part].mT
                log_probs = logits.sub_(normalizers[tile, None])
                if of_entropies is None:
                    grad_logits = log_probs.exp_().mul_(-grad)
                else:
                    slope = (log_probs + entropies[tile, None]) * of_entropies[tile, None] + grad
                    grad_logits = log_probs.exp_().mul_(-slope)
                is_here, place = _within(columns, part)
                grad_logits.scatter_add_(-1, place, grad * is_here)
                grad_states.addmm_(grad_logits, exact[part])
                grad_head[part].addmm_(grad_logits.mT, states)
            grad_hidden[tile] = grad_states / ctx.temperature
        return grad_hidden, grad_head.to(head.dtype), None, None


def _forward_tile(states: Tensor, head: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, entropies and log-sum-exps (T,) of tokens (T,), from states (T, E), over parts of the head.

    Kept so far, per token: its logit, the largest logit, and relative to that the sums of exp(logit) and of
    exp(logit) * logit (Milakov and Gimelshein, arXiv:1805.02867).
    """
    columns = tokens[:, None]
    chosen, total, weighted = (states.new_zeros(len(states), 1) for _ in range(3))
    top = torch.full_like(total, -torch.inf)
    for part in _tiles(len(head), TILE_VOCABULARY):
        logits = states @ head[part].mT
        is_here, place = _within(columns, part)
        chosen += logits.gather(-1, place) * is_here
        before, top = top, torch.maximum(top, logits.amax(-1, keepdim=True))
        shift, scale = (before - top).nan_to_num(neginf=0.0), (before - top).exp()
        weighted = (weighted + shift * total) * scale
        exponents = logits.sub_(top)
        weights = exponents.exp()
        total = total * scale + weights.sum(-1, keepdim=True)
        weighted = weighted + torch.linalg.vecdot(weights, exponents)[:, None]
    log_total = total.log()
    normalizers = top + log_total
    return (chosen - normalizers)[:, 0], (log_total - weighted / total)[:, 0], normalizers[:, 0]


def _within(columns: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """Which columns lie in a part of the vocabulary, and where in it (anywhere, for those that do not)."""
    place = columns - part.start
    is_here = (place >= 0) & (place < part.stop - part.start)
    return is_here, place.where(is_here, 0)


def _tiles(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
