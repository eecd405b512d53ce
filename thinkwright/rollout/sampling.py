"""Draws tokens. Randomness comes from (seed, step, prompt, member) alone, so slots and batch order do not matter."""

import hashlib

import numpy as np
import torch
from torch import Tensor

_BELOW_ONE = np.float32(1 - 2**-24)


def uniforms(seed: int, step: int, prompt_id: str, member: int, count: int) -> np.ndarray:
    """``count`` fp32 numbers in [0, 1), one per token of one completion; the first n do not depend on ``count``."""
    key = hashlib.blake2b(f"{seed}/{step}/{prompt_id}/{member}".encode(), digest_size=16).digest()
    draws = np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype=np.uint64))).random(count)
    return np.minimum(draws.astype(np.float32), _BELOW_ONE)


def sample_tokens(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Tokens (B,) by inversion of the cumulative distribution, and their log-probabilities (B,).

    ``logits`` (B, V) in fp32, ``uniform`` (B,) in [0, 1). The log-probabilities are those of the tempered policy.
    """
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    cumulative = logprobs.exp().cumsum(-1)
    # Scaled by the last entry, which rounding leaves near but not at 1, so that no token of zero probability is drawn.
    tokens = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)
    tokens = tokens.clamp(max=logits.shape[-1] - 1)
    return tokens[:, 0], logprobs.gather(-1, tokens)[:, 0]
