"""Draws tokens where every row has settings of its own, each row as ``sampling.draw_tokens`` would draw it.

What a row draws depends on that row alone, to the bit on a CPU: no operation here mixes rows, and what is left out for
rows that do not need it would not change them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinkwright.rollout import sampling
from thinkwright.rollout.sampling import DrawnTokens, cut_logprobs, tokens_at

GREEDY_BELOW = 1e-5
"""Temperatures under this draw the likeliest token: divided by them, logits leave what fp32 can hold."""
MIN_TOP_P = 1e-6
"""Less could be 0 in fp32, which not even the likeliest token comes before; this already leaves no other."""
MAX_ALTERNATIVES = 20
"""The most that can be asked for, as in OpenAI's API."""
Rows = np.ndarray


@dataclass(frozen=True)
class RowSettings:
    """How each row is drawn, (B,) each; the fields are those of ``SamplingSettings``."""

    temperature: Rows
    """fp32; under ``GREEDY_BELOW``: the likeliest token."""
    top_p: Rows
    """fp32"""
    top_k: Rows
    """int64; 0 for all tokens."""
    min_p: Rows
    """fp32"""

    @classmethod
    def uncut(cls, num_rows: int) -> "RowSettings":
        """Rows that all draw from the policy as it is."""
        ones, zeros = np.ones((2, num_rows), dtype=np.float32), np.zeros(num_rows, dtype=np.float32)
        return cls(ones[0], ones[1], zeros.astype(np.int64), zeros)

    def put(self, row: int, temperature: float, top_p: float, top_k: int, min_p: float) -> None:
        """Set one row; ``top_k`` at most the vocabulary."""
        self.temperature[row], self.top_p[row] = temperature, max(top_p, MIN_TOP_P)
        self.top_k[row], self.min_p[row] = top_k, min_p

    @property
    def is_greedy(self) -> Rows:
        """Which rows draw their likeliest token."""
        return self.temperature < GREEDY_BELOW

    @property
    def is_cut(self) -> Rows:
        """Of which rows some tokens cannot be drawn; a greedy one needs no cut."""
        return ((self.top_p < 1) | (self.top_k > 0) | (self.min_p > 0)) & ~self.is_greedy

    def at(self, rows: slice | Rows) -> "RowSettings":
        """The settings of some rows."""
        return RowSettings(self.temperature[rows], self.top_p[rows], self.top_k[rows], self.min_p[rows])


def draw_rows(logits: Tensor, uniform: Tensor, settings: RowSettings, forced: Tensor | None) -> DrawnTokens:
    """See ``sampling.draw_tokens``; the likeliest token, drawn as such, has log-probability 0 like a forced one."""
    size = max(1, sampling.TILE_ELEMENTS // logits.shape[-1])
    tiles = [slice(start, start + size) for start in range(0, len(logits), size)]
    forced_tiles = [None if forced is None else forced[tile] for tile in tiles]
    drawn = [
        _draw_tile(logits[tile], uniform[tile], forced_tile, settings.at(tile))
        for tile, forced_tile in zip(tiles, forced_tiles, strict=True)
    ]
    return DrawnTokens(*(torch.cat(parts) for parts in zip(*drawn, strict=True)))


def likeliest_tokens(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The ``MAX_ALTERNATIVES`` likeliest tokens of each row (B, V) and their log-probabilities, likeliest first.

    Always so many, whoever asks for fewer: what stands first among equals could depend on it.
    """
    count = min(MAX_ALTERNATIVES, logits.shape[-1])
    logprobs, tokens = torch.log_softmax(logits, dim=-1).topk(count, dim=-1)
    return tokens, logprobs


def _draw_tile(
    logits: Tensor, uniform: Tensor, forced: Tensor | None, settings: RowSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """The fields of ``DrawnTokens``."""
    untempered = torch.log_softmax(logits, dim=-1)
    tokens, drawn = _draw_freely(logits, untempered, uniform, settings)
    if forced is not None:
        tokens = torch.where(forced >= 0, forced, tokens)
        drawn = torch.where(forced >= 0, 0.0, drawn)
    return tokens, drawn, untempered.gather(-1, tokens[:, None])[:, 0]


def _draw_freely(logits: Tensor, untempered: Tensor, uniform: Tensor, settings: RowSettings) -> tuple[Tensor, Tensor]:
    """Tokens (B,) and their log-probabilities (B,) as drawn, from logits and their log-softmax (B, V)."""
    is_greedy = settings.is_greedy
    likeliest = logits.argmax(-1) if is_greedy.any() else None
    if likeliest is not None and is_greedy.all():
        return likeliest, torch.zeros_like(uniform)
    logprobs = _row_logprobs(logits, untempered, settings)
    tokens = tokens_at(logprobs, uniform)
    drawn = logprobs.gather(-1, tokens)[:, 0]
    if likeliest is None:
        return tokens[:, 0], drawn
    chosen = _tensor(is_greedy, logits.device)
    return torch.where(chosen, likeliest, tokens[:, 0]), torch.where(chosen, 0.0, drawn)


def _row_logprobs(logits: Tensor, untempered: Tensor, settings: RowSettings) -> Tensor:
    """The distributions (B, V) that rows are drawn from, as log-probabilities; of greedy rows, any."""
    temperature, cut_rows = np.where(settings.is_greedy, 1, settings.temperature), np.flatnonzero(settings.is_cut)
    logprobs = untempered
    if (temperature != 1).any():
        logprobs = torch.log_softmax(logits / _column(temperature, logits.device), dim=-1)
    if len(cut_rows) == 0:
        return logprobs
    cut, rows = settings.at(cut_rows), _tensor(cut_rows, logits.device)
    top_p, top_k, min_p = (_column(values, logits.device) for values in (cut.top_p, cut.top_k, cut.min_p))
    return logprobs.index_copy(0, rows, cut_logprobs(logprobs[rows], top_p, top_k, min_p))


def _column(values: Rows, device: torch.device) -> Tensor:
    return _tensor(values, device)[:, None]


def _tensor(values: Rows, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)
