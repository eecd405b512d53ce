"""One policy update: groups in, new weights out. Groups are packed: each prompt once, nothing padded.

Log-probabilities at sampling serve as the old policy's (sampling and update share one model); how far the trainer's own
differ before the first update is measured as ``policy/logprob_gap``.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from thinkwright.algorithms.kl import k3
from thinkwright.algorithms.policy_loss import REDUCTIONS, clipped_policy_loss
from thinkwright.algorithms.rollout_correction import CORRECTIONS, DEFAULT_CAP
from thinkwright.config.recipe import Algorithm
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, training_context
from thinkwright.models.token_tree import TokenTree, pack, shared_prefix, split_by_tokens
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.types import Metrics, TrainingGroup


@dataclass(frozen=True)
class FlatTokens:
    """The completion tokens of some groups, one completion after the other; N tokens, S completions."""

    lengths: Tensor  # (S,)
    tokens: Tensor  # (N,)
    advantages: Tensor  # (N,)
    rollout_logprobs: Tensor  # (N,)
    old_logprobs: Tensor  # (N,) the same, unless another program sampled
    is_counted: Tensor  # (N,) False where the completion is left out of the loss


def micro_batches(groups: Sequence[TrainingGroup], max_tokens: int) -> Iterator[list[TrainingGroup]]:
    """The groups in order, as many together as keep the tokens packed in one row within ``max_tokens``.

    A group that is larger alone is cut; each piece, of one completion at least, computes the prompt again, as each
    micro-batch computes the beginning again that all prompts share.
    """
    shared = shared_prefix([group.prompt_ids for group in groups])
    pieces = (piece for group in groups for piece in _pieces(group, max_tokens))
    return split_by_tokens(
        pieces,
        lambda piece: len(piece.prompt_ids) - shared + sum(map(len, piece.completions)),
        max_tokens,
        shared=shared,
    )


def _pieces(group: TrainingGroup, max_tokens: int) -> Iterator[TrainingGroup]:
    members: list[int] = []
    num_tokens = len(group.prompt_ids)
    for i, completion in enumerate(group.completions):
        if members and num_tokens + len(completion) > max_tokens:
            yield _members(group, members)
            members, num_tokens = [], len(group.prompt_ids)
        members.append(i)
        num_tokens += len(completion)
    yield _members(group, members)


def _members(group: TrainingGroup, members: Sequence[int]) -> TrainingGroup:
    return TrainingGroup(
        prompt_ids=group.prompt_ids,
        completions=tuple(group.completions[i] for i in members),
        rollout_logprobs=tuple(group.rollout_logprobs[i] for i in members),
        advantages=tuple(group.advantages[i] for i in members),
        is_counted=tuple(group.is_counted[i] for i in members),
        old_logprobs=None if group.old_logprobs is None else tuple(group.old_logprobs[i] for i in members),
    )


def tree_of(groups: Sequence[TrainingGroup]) -> TokenTree:
    """The groups packed into one row."""
    return pack([(group.prompt_ids, group.completions) for group in groups])


def policy_logprobs(policy: Policy, tree: TokenTree, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) and entropies (N,) of all completion tokens (N,) of a packed tree, in order."""

    def compute() -> tuple[Tensor, Tensor]:
        hidden = policy.packed_hidden_states(tree, training_context(tree, policy.device))
        predictors = torch.tensor(tree.predictors, device=policy.device)
        return token_logprobs(hidden[predictors], policy.head, tokens, temperature)

    return policy.in_one_pass(compute)


class Updater:
    """Holds what an update needs beside the groups: policy, reference, optimizer and settings."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy | None,
        optimizer: MasterOptimizer,
        algorithm: Algorithm,
        temperature: float,
        micro_batch_tokens: int,
        ranks: Ranks = SINGLE,
    ) -> None:
        self._ranks = ranks
        self._policy = policy
        self._reference = reference
        self._optimizer = optimizer
        self._algorithm = algorithm
        self._temperature = temperature
        self._micro_batch_tokens = micro_batch_tokens

    def update(
        self, groups: Sequence[TrainingGroup], lr: float, max_grad_norm: float, *, is_corrected: bool = False
    ) -> Metrics:
        """One optimizer step on the groups, the same ones on every rank; each makes its part of the passes.

        ``is_corrected``: other weights or another program drew the tokens, so ``algorithm.correction`` is heeded. For
        groups without old log-probabilities this is then the step's first update, whose own are the old ones.

        TrainingError, weights untouched, if loss or gradient is not finite.
        """
        counted = [len(c) for g in groups for c, counts in zip(g.completions, g.is_counted, strict=True) if counts]
        num_tokens, num_sequences = sum(counted), len(counted)
        batches = list(micro_batches(groups, self._micro_batch_tokens))
        shares = [
            self._backward(batch, num_tokens, num_sequences, float(is_own), is_corrected)
            for batch, is_own in self._ranks.passes(batches)
        ]
        totals = self._ranks.sums({name: float(sum(share[name] for share in shares)) for name in shares[0]})
        norm = self._optimizer.gradient_norm(totals["loss/total"])
        self._optimizer.step(lr, norm, max_grad_norm)
        return totals | {"optim/grad_norm": norm}

    @torch.no_grad()
    def with_old_logprobs(self, groups: Sequence[TrainingGroup]) -> list[TrainingGroup]:
        """The groups with the log-probabilities of their tokens under the weights as they are now."""
        own: list[list[float]] = []
        for batch, is_own in self._ranks.passes(list(micro_batches(groups, self._micro_batch_tokens))):
            tokens = _flatten(batch, self._policy.device).tokens
            logprobs, _ = policy_logprobs(self._policy, tree_of(batch), tokens, self._temperature)
            if is_own:
                own.append(logprobs.tolist())
        found: list[TrainingGroup] = []
        values = itertools.chain.from_iterable(self._ranks.joined(own))  # in the order of the groups' tokens
        for group in groups:
            rows = tuple(tuple(itertools.islice(values, len(completion))) for completion in group.completions)
            found.append(replace(group, old_logprobs=rows))
        return found

    def _backward(
        self, groups: list[TrainingGroup], num_tokens: int, num_sequences: int, weight: float, is_corrected: bool
    ) -> dict[str, Tensor]:
        """Add the micro-batch's share of the update's gradient, times ``weight``; returns its share of each metric."""
        settings, reduce = self._algorithm, REDUCTIONS[self._algorithm.reduction]
        flat, tree = _flatten(groups, self._policy.device), tree_of(groups)
        logprobs, entropies = policy_logprobs(self._policy, tree, flat.tokens, self._temperature)
        is_first = is_corrected and groups[0].old_logprobs is None
        old_logprobs = logprobs.detach() if is_first else flat.old_logprobs
        per_token, is_clipped = clipped_policy_loss(
            logprobs, old_logprobs, flat.advantages, settings.clip_low, settings.clip_high
        )
        weights = flat.is_counted.float() * weight
        correct = CORRECTIONS.get(settings.correction or "truncate") if is_corrected else None
        corrections = torch.ones_like(weights)
        if correct is not None:
            corrections = correct(old_logprobs, flat.rollout_logprobs, settings.correction_cap or DEFAULT_CAP)
        policy_loss = reduce(per_token * corrections * weights, flat.lengths, num_tokens, num_sequences)
        kl = torch.zeros_like(logprobs)
        if self._reference is not None:
            with torch.no_grad():
                ref_logprobs, _ = policy_logprobs(self._reference, tree, flat.tokens, self._temperature)
            kl = k3(logprobs, ref_logprobs)
        kl_loss = reduce(kl * weights, flat.lengths, num_tokens, num_sequences)
        loss = policy_loss + settings.kl_coef * kl_loss
        loss.backward()
        gap = (logprobs.detach() - flat.rollout_logprobs).abs()
        shares = {
            "policy/kl": kl.detach(),
            "policy/entropy": entropies,
            "policy/clip_fraction": is_clipped.float(),
            "policy/logprob_gap": gap,
        }
        if correct is not None:
            shares["policy/correction"] = corrections
        metrics = {name: (share * weights).sum() / num_tokens for name, share in shares.items()}
        losses = {"loss/policy": policy_loss, "loss/kl": kl_loss, "loss/total": loss}
        return metrics | {name: value.detach() for name, value in losses.items()}


def _flatten(groups: Sequence[TrainingGroup], device: torch.device) -> FlatTokens:
    lengths = torch.tensor([len(c) for g in groups for c in g.completions])
    tokens = torch.tensor([token for g in groups for c in g.completions for token in c])
    advantages = torch.tensor([a for g in groups for a in g.advantages])
    is_counted = torch.tensor([counts for g in groups for counts in g.is_counted])
    logprobs, old_logprobs = (
        torch.tensor([p for rows in per_group for row in rows for p in row])
        for per_group in ([g.rollout_logprobs for g in groups], [g.old_logprobs or g.rollout_logprobs for g in groups])
    )
    flat: Any = lengths, tokens, advantages.repeat_interleave(lengths), logprobs, old_logprobs
    return FlatTokens(*(tensor.to(device) for tensor in (*flat, is_counted.repeat_interleave(lengths))))
