"""Log-probabilities and entropies of tokens from hidden states, in fp32 and in tiles.

A tile holds (tile tokens x vocabulary) logits; the backward pass makes each tile again, so the whole matrix never
exists (the memory that decides how long a completion can be trained on).
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

TILE_ELEMENTS = 16 * 1024 * 1024


def token_logprobs(hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of ``tokens`` (N,) and entropies (N,), from hidden (N, E) and head weight (V, E)."""
    tile, head = max(1, TILE_ELEMENTS // head.shape[0]), head.float()
    parts = [
        checkpoint(_tile, hidden[i : i + tile], head, tokens[i : i + tile], temperature, use_reentrant=False)
        if torch.is_grad_enabled() and hidden.shape[0] > tile
        else _tile(hidden[i : i + tile], head, tokens[i : i + tile], temperature)
        for i in range(0, hidden.shape[0], tile)
    ]
    if not parts:
        return hidden.new_zeros(0, dtype=torch.float32), hidden.new_zeros(0, dtype=torch.float32)
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def logits_from_hidden(hidden: Tensor, head: Tensor) -> Tensor:
    """Logits (..., V) with the head weight (V, E) given in fp32: so on both sides, rollout and update."""
    return hidden.float() @ head.mT


def _tile(hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logits = logits_from_hidden(hidden, head) / temperature
    normalizer = logits.logsumexp(-1)  # (N,)
    logprobs = logits.gather(-1, tokens[:, None])[:, 0] - normalizer
    with torch.no_grad():
        entropies = normalizer - (logits * torch.softmax(logits, -1)).sum(-1)
    return logprobs, entropies
