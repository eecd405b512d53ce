"""Draws tokens. Randomness comes from (seed, step, prompt, member) alone, so slots and batch order do not matter."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinkwright.rollout.engine import SamplingSettings

TILE_ELEMENTS = 1 << 21
"""Logits that are worked on together: what stays in a processor's cache is several times faster."""
_BELOW_ONE = np.float32(1 - 2**-24)


@dataclass(frozen=True)
class DrawnTokens:
    """One token for each row, all (B,)."""

    tokens: Tensor
    logprobs: Tensor
    """Under the distribution drawn from: tempered, cut by top-k, top-p and min-p; 0 for a forced token."""
    untempered_logprobs: Tensor
    """Under the policy itself, at temperature 1 and uncut."""


def uniforms(seed: int, step: int, prompt_id: str, member: int, count: int) -> np.ndarray:
    """``count`` fp32 numbers in [0, 1), one per token of one completion; the first n do not depend on ``count``."""
    key = hashlib.blake2b(f"{seed}/{step}/{prompt_id}/{member}".encode(), digest_size=16).digest()
    draws = np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype=np.uint64))).random(count)
    return np.minimum(draws.astype(np.float32), _BELOW_ONE)


def draw_tokens(logits: Tensor, uniform: Tensor, settings: SamplingSettings, forced: Tensor | None) -> DrawnTokens:
    """Tokens by inversion of the cumulative distribution.

    ``logits`` (B, V) in fp32, ``uniform`` (B,) in [0, 1), ``forced`` (B,) token ids to take instead, -1 for none.
    """
    size = max(1, TILE_ELEMENTS // logits.shape[-1])
    logit_tiles = logits.split(size)
    forced_tiles = [None] * len(logit_tiles) if forced is None else forced.split(size)
    drawn = [_draw_tile(*tile, settings) for tile in zip(logit_tiles, uniform.split(size), forced_tiles, strict=True)]
    return DrawnTokens(*(torch.cat(parts) for parts in zip(*drawn, strict=True)))


def _draw_tile(
    logits: Tensor, uniform: Tensor, forced: Tensor | None, settings: SamplingSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """The fields of ``DrawnTokens``."""
    logprobs = torch.log_softmax(logits / settings.temperature, dim=-1)
    if settings.is_cut:
        logprobs = cut_logprobs(logprobs, settings.top_p, settings.top_k, settings.min_p)
    tokens = tokens_at(logprobs, uniform)
    if forced is not None:
        tokens = torch.where(forced[:, None] >= 0, forced[:, None], tokens)
    drawn = logprobs.gather(-1, tokens)[:, 0]
    if forced is not None:
        drawn = torch.where(forced >= 0, 0.0, drawn)
    if settings.temperature == 1 and not settings.is_cut and forced is None:
        return tokens[:, 0], drawn, drawn
    untempered = logits.gather(-1, tokens)[:, 0] - logits.logsumexp(-1)
    return tokens[:, 0], drawn, untempered


def tokens_at(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """Tokens (B, 1) that numbers (B,) in [0, 1) fall on in the cumulative distributions of log-probabilities (B, V)."""
    cumulative = logprobs.exp().cumsum(-1)
    if cumulative.device.type != "cpu":
        # A parallel sum may step back by a rounding error, into which a token of no probability could fall.
        cumulative = cumulative.cummax(-1).values
    # Scaled by the last entry, which rounding leaves near but not at 1, so that no token of zero probability is drawn.
    tokens = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)
    return tokens.clamp(max=logprobs.shape[-1] - 1)


def cut_logprobs(logprobs: Tensor, top_p: float | Tensor, top_k: int | Tensor, min_p: float | Tensor) -> Tensor:
    """Log-probabilities (B, V) among the tokens that may be drawn, -inf for the others.

    These are the ``top_k`` likeliest (0: all), of these those that make up ``top_p`` (Holtzman et al.,
    arXiv:1904.09751), of these none under ``min_p`` times the likeliest (arXiv:2407.01082). Each is one number for all
    rows, or a column (B, 1).
    """
    num_tokens = logprobs.shape[-1]
    ordered, order = logprobs.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(num_tokens, device=logprobs.device)
    num_likeliest = top_k.where(top_k > 0, num_tokens) if isinstance(top_k, Tensor) else top_k or num_tokens
    is_in = rank < num_likeliest
    probabilities = torch.softmax(ordered.masked_fill(~is_in, -torch.inf), dim=-1)
    # A token is in if those before it do not yet make up top_p; the likeliest always is.
    is_in = is_in & (probabilities.cumsum(-1) - probabilities < top_p)
    is_in = is_in & (probabilities >= min_p * probabilities[:, :1])
    is_eligible = torch.zeros_like(is_in).scatter(-1, order, is_in)
    return torch.log_softmax(logprobs.masked_fill(~is_eligible, -torch.inf), dim=-1)
