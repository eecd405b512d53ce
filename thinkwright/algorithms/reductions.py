"""What each completion's tokens weigh in an update's loss: it is the sum of the weights times the tokens' losses.

Every function takes the lengths (S,) of the update's counted completions, the prompt of each (S,) as a number from 0,
and the limit of a completion's tokens; it gives the weight of one token of each completion (S,). Known before any pass,
they make the gradient the same however an update is cut into micro-batches or shared by ranks.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def token_mean(lengths: Tensor, prompts: Tensor, max_tokens: int) -> Tensor:
    """1 / all tokens: every token weighs the same (DAPO, arXiv:2503.14476, equation 8)."""
    return torch.ones_like(lengths) / lengths.sum()


def sequence_mean(lengths: Tensor, prompts: Tensor, max_tokens: int) -> Tensor:
    """The mean within each completion, then over completions (GRPO as published: DeepSeekMath, equation 3): tokens of
    long completions weigh less."""
    return 1 / (lengths.float() * len(lengths))


def prompt_mean(lengths: Tensor, prompts: Tensor, max_tokens: int) -> Tensor:
    """The mean over a prompt's tokens, then over prompts (ScaleRL, arXiv:2510.13786)."""
    own = torch.zeros(int(prompts.max()) + 1).index_add(0, prompts, lengths.float())
    return 1 / (own[prompts] * len(own))


def fixed_length(lengths: Tensor, prompts: Tensor, max_tokens: int) -> Tensor:
    """The sum over a completion divided by the limit, then the mean over completions: no length is favoured
    (Dr. GRPO, arXiv:2503.20783)."""
    return torch.full((len(lengths),), 1 / (max_tokens * len(lengths)))


Reduction = Callable[[Tensor, Tensor, int], Tensor]
REDUCTIONS: dict[str, Reduction] = {
    "token_mean": token_mean,
    "sequence_mean": sequence_mean,
    "prompt_mean": prompt_mean,
    "fixed_length": fixed_length,
}
"""By the name in the recipe."""
