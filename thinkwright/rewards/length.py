"""Rewards that depend on the number of tokens of a completion."""

import math
from collections.abc import Sequence
from statistics import fmean

from thinkwright.errors import RecipeError


def soft_overlong(num_tokens: int, max_tokens: int, buffer_tokens: int) -> float:
    """DAPO's soft punishment of overlong completions (arXiv:2503.14476, equation 13): 0 down to -1.

    With L tokens, a limit M and a buffer B: 0 up to L = M - B; (M - B - L) / B in the buffer; -1 beyond M.
    """
    if not 0 < buffer_tokens <= max_tokens:
        raise RecipeError(f"buffer_tokens must be from 1 to max_tokens ({max_tokens}), not {buffer_tokens}")
    if num_tokens <= max_tokens - buffer_tokens:
        return 0.0
    if num_tokens <= max_tokens:
        return (max_tokens - buffer_tokens - num_tokens) / buffer_tokens
    return -1.0


def cosine_length(
    num_tokens: int,
    max_tokens: int,
    is_correct: bool,
    *,
    correct_short: float = 1.0,
    correct_long: float = 0.5,
    wrong_short: float = -1.0,
    wrong_long: float = -0.5,
    exceeded: float = -1.0,
) -> float:
    """The cosine reward of "Demystifying Long Chain-of-Thought Reasoning" (arXiv:2502.03373, section 4.2).

    With L tokens and a limit M, from the value at the short end to that at the long end, by whether the answer is
    right: long + (short - long) * (1 + cos(pi * L / M)) / 2; ``exceeded`` for L >= M. A right answer should be short, a
    wrong one have thought for longer. The paper's values are 2, 1, -10, 0 and -10, beside no other reward; the defaults
    here are on the scale of an accuracy of 0 or 1, and a wrong answer never comes near a right one.
    """
    if max_tokens < 1:
        raise RecipeError(f"max_tokens must be at least 1, not {max_tokens}")
    if num_tokens >= max_tokens:
        return exceeded
    short, long = (correct_short, correct_long) if is_correct else (wrong_short, wrong_long)
    return long + (short - long) * (1 + math.cos(math.pi * num_tokens / max_tokens)) / 2


LAZY_TOLERANCE = 0.2


def lazy_length(num_tokens: Sequence[int], is_correct: Sequence[bool], from_share: float) -> list[float]:
    """A penalty of 0 down to -1 on right answers that took long, in a group that is mostly right.

    Where at least ``from_share`` of the group is right, a right answer of L tokens gets 0 up to 1.2 times the mean
    length m of the right ones, then 1.2 - L / m, at least -1. Wrong answers, and groups that still struggle, get 0:
    length is only taken away where thought is to spare (after GRPO-lambda).
    """
    right = [length for length, correct in zip(num_tokens, is_correct, strict=True) if correct]
    if not right or len(right) < from_share * len(num_tokens):
        return [0.0] * len(num_tokens)
    mean = fmean(right)
    return [
        max(-1.0, min(0.0, 1 + LAZY_TOLERANCE - length / mean)) if correct else 0.0
        for length, correct in zip(num_tokens, is_correct, strict=True)
    ]


def target_length(num_tokens: int, target: int) -> float:
    """-|L - n| / n for a target of n tokens, at least -1 (after LCPO-exact: L1, arXiv:2503.04697, with one
    target for all prompts)."""
    return -min(1.0, abs(num_tokens - target) / target)
