"""Rewards that depend on the number of tokens of a completion."""

import math

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
