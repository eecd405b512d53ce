"""What losses read: the completion tokens of some sequences, one completion after the other."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossTokens:
    """N tokens of S completions."""

    logprobs: Tensor
    """(N,) of the policy that learns; the only one with a gradient."""
    old_logprobs: Tensor
    """(N,) of the same policy before the step's first update."""
    rollout_logprobs: Tensor
    """(N,) as they were drawn; the old ones, unless another program or older weights sampled."""
    advantages: Tensor
    """(N,) each completion's, at all its tokens."""
    sequences: Tensor
    """(N,) which completion, 0 to S - 1; those of one stand side by side."""

    @property
    def ratio(self) -> Tensor:
        """pi / pi_old of each token (N,)."""
        return (self.logprobs - self.old_logprobs).exp()


def sequence_sums(values: Tensor, sequences: Tensor) -> Tensor:
    """The sum over its completion, at each token (N,)."""
    return _scattered(values, sequences)[sequences]


def sequence_means(values: Tensor, sequences: Tensor) -> Tensor:
    """The mean over its completion, at each token (N,)."""
    return (_scattered(values, sequences) / _scattered(torch.ones_like(values), sequences).clamp(min=1))[sequences]


def sums_to_go(values: Tensor, sequences: Tensor) -> Tensor:
    """The sum over its completion from each token to the end (N,)."""
    return sequence_sums(values, sequences) - values.cumsum(0) + values + _before(values, sequences)


def _before(values: Tensor, sequences: Tensor) -> Tensor:
    """Sum of everything before each token's completion (N,)."""
    own = _scattered(values, sequences)
    return (own.cumsum(0) - own)[sequences]


def _scattered(values: Tensor, sequences: Tensor) -> Tensor:
    count = int(sequences.max()) + 1 if sequences.numel() else 0
    return values.new_zeros(count).index_add(0, sequences, values)
