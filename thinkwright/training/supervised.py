"""Next-token cross-entropy on given text, packed: what all rows begin with is computed once, and nothing is padded.

Rows stand side by side in one row of tokens and do not read each other (``models/token_tree.py``), so the loss of each
is the one it has alone. The mean is over all the tokens to be learned of a batch, whatever its micro-batches.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, training_context
from thinkwright.models.token_tree import pack

Row = tuple[Sequence[int], int]
"""Token ids after the beginning that all rows share; and how many of the first are read only, not learned."""


def backward(
    policy: Policy, prefix: Sequence[int], rows: Sequence[Row], micro_batch_tokens: int, ranks: Ranks = SINGLE
) -> float:
    """Accumulate the gradient of the mean loss over all tokens to be learned; returns that loss.

    The rows are the same on every rank; each makes its part of the passes.
    """
    num_targets, total = num_learned(rows), 0.0
    for batch, is_own in ranks.passes(list(_micro_batches(rows, micro_batch_tokens))):
        loss = float(is_own) * _loss_sum(policy, prefix, batch) / num_targets
        loss.backward()
        total += float(loss.detach())
    return ranks.sums({"loss": total})["loss"]


@torch.no_grad()
def mean_loss(
    policy: Policy, prefix: Sequence[int], rows: Sequence[Row], micro_batch_tokens: int, ranks: Ranks = SINGLE
) -> float:
    """The mean loss over all tokens to be learned, without a gradient."""
    total = sum(
        float(is_own) * float(_loss_sum(policy, prefix, batch))
        for batch, is_own in ranks.passes(list(_micro_batches(rows, micro_batch_tokens)))
    )
    return ranks.sums({"loss": total})["loss"] / num_learned(rows)


def num_learned(rows: Sequence[Row]) -> int:
    """Tokens that the loss is taken of."""
    return sum(len(tokens) - num_read for tokens, num_read in rows)


def _micro_batches(rows: Sequence[Row], max_tokens: int) -> Iterator[list[Row]]:
    """Rows of like length together, as many as keep within ``max_tokens``, one at least."""
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row[0])):
        if batch and len(row[0]) * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _loss_sum(policy: Policy, prefix: Sequence[int], rows: Sequence[Row]) -> Tensor:
    """Sum of -log p over the tokens to be learned of the rows, each after the shared beginning."""
    if prefix:
        first = 0
        tree = pack([(prefix, [tokens for tokens, _ in rows])])
    else:  # each row's own first token is then what its others follow
        first = 1
        tree = pack([(tokens[:1], [tokens[1:]]) for tokens, _ in rows])
    is_target = torch.tensor([i >= num_read for tokens, num_read in rows for i in range(first, len(tokens))])
    targets = torch.tensor([token for tokens, _ in rows for token in tokens[first:]])[is_target].to(policy.device)
    predictors = torch.tensor(tree.predictors)[is_target].to(policy.device)

    def compute() -> Tensor:
        hidden = policy.packed_hidden_states(tree, training_context(tree, policy.device))
        logprobs, _ = token_logprobs(hidden.index_select(0, predictors), policy.head, targets)
        return -logprobs.sum()

    return policy.in_one_pass(compute)
