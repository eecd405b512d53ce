"""One policy update: groups in, new weights out. A prompt is computed once for each eight of its completions.

Log-probabilities at sampling serve as the old policy's (sampling and update share one model); how far the trainer's own
differ before the first update is measured as ``policy/logprob_gap``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thinkwright.algorithms.kl import k3
from thinkwright.algorithms.policy_loss import REDUCTIONS, clipped_policy_loss
from thinkwright.config.recipe import Algorithm
from thinkwright.errors import TrainingError
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, pad_rows
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.types import Metrics, TrainingGroup

MIN_PIECE = 8
"""Completions of one prompt that are padded to the same length, at least."""


@dataclass(frozen=True)
class FlatTokens:
    """The completion tokens of some groups, one completion after the other; N tokens, S completions."""

    lengths: Tensor  # (S,)
    advantages: Tensor  # (N,)
    rollout_logprobs: Tensor  # (N,)
    is_counted: Tensor  # (N,) False where the completion is left out of the loss


def pieces_by_length(group: TrainingGroup) -> list[TrainingGroup]:
    """The group cut into pieces of like-long completions, so that one long member does not pad all the others.

    Each piece computes the prompt again: eight completions a piece is the least that keeps this cheap.
    """
    num_members = len(group.completions)
    size = next(n for n in range(min(MIN_PIECE, num_members), num_members + 1) if num_members % n == 0)
    order = sorted(range(len(group.completions)), key=lambda i: len(group.completions[i]))
    return [
        TrainingGroup(
            group.prompt_ids,
            *(tuple(field[i] for i in order[start : start + size]) for field in _member_fields(group)),
        )
        for start in range(0, len(order), size)
    ]


def _member_fields(group: TrainingGroup) -> tuple[tuple[Any, ...], ...]:
    return group.completions, group.rollout_logprobs, group.advantages, group.is_counted


def micro_batches(groups: Sequence[TrainingGroup], max_tokens: int) -> Iterator[list[TrainingGroup]]:
    """Groups of like length together, as many as keep completion tokens with padding under ``max_tokens``."""
    batch: list[TrainingGroup] = []
    for group in sorted(groups, key=_longest):
        padded = _longest(group) * len(group.completions) * (len(batch) + 1)
        if batch and padded > max_tokens:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def policy_logprobs(policy: Policy, groups: Sequence[TrainingGroup], temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) and entropies (N,) of all completion tokens of the groups, in order."""
    prompts, last = policy.read_prompts([list(group.prompt_ids) for group in groups])
    completions = [list(completion) for group in groups for completion in group.completions]
    tokens = pad_rows(completions, policy.device)  # (S, T)
    hidden = policy.completion_hidden_states(prompts, last, tokens)  # (S, T, E)
    lengths = torch.tensor([len(c) for c in completions], device=policy.device)
    is_real = torch.arange(tokens.shape[1], device=policy.device) < lengths[:, None]  # (S, T)
    return token_logprobs(hidden[is_real], policy.head, tokens[is_real], temperature)


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
    ) -> None:
        self._policy = policy
        self._reference = reference
        self._optimizer = optimizer
        self._algorithm = algorithm
        self._temperature = temperature
        self._micro_batch_tokens = micro_batch_tokens

    def update(self, groups: Sequence[TrainingGroup], lr: float, max_grad_norm: float) -> Metrics:
        """One optimizer step on the groups. TrainingError, weights untouched, if loss or gradient is not finite."""
        counted = [len(c) for g in groups for c, counts in zip(g.completions, g.is_counted, strict=True) if counts]
        num_tokens, num_sequences = sum(counted), len(counted)
        totals: dict[str, float] = {}
        pieces = [piece for group in groups for piece in pieces_by_length(group)]
        for batch in micro_batches(pieces, self._micro_batch_tokens):
            for name, value in self._backward(batch, num_tokens, num_sequences).items():
                totals[name] = totals.get(name, 0.0) + value
        norm = self._optimizer.gradient_norm()
        if not all(map(torch.isfinite, map(torch.tensor, (norm, totals["loss/total"])))):
            raise TrainingError(
                f"loss {totals['loss/total']} or gradient norm {norm} is not finite; weights left as they were"
            )
        self._optimizer.step(lr, norm, max_grad_norm)
        return totals | {"optim/grad_norm": norm}

    def _backward(self, groups: list[TrainingGroup], num_tokens: int, num_sequences: int) -> dict[str, float]:
        """Add the micro-batch's share of the update's gradient; returns its share of each metric."""
        settings, reduce = self._algorithm, REDUCTIONS[self._algorithm.reduction]
        flat = _flatten(groups, self._policy.device)
        logprobs, entropies = policy_logprobs(self._policy, groups, self._temperature)
        per_token, is_clipped = clipped_policy_loss(
            logprobs, flat.rollout_logprobs, flat.advantages, settings.clip_low, settings.clip_high
        )
        weights = flat.is_counted.float()
        policy_loss = reduce(per_token * weights, flat.lengths, num_tokens, num_sequences)
        kl = torch.zeros_like(logprobs)
        if self._reference is not None:
            with torch.no_grad():
                ref_logprobs, _ = policy_logprobs(self._reference, groups, self._temperature)
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
        metrics = {name: float((share * weights).sum()) / num_tokens for name, share in shares.items()}
        losses = {"loss/policy": policy_loss, "loss/kl": kl_loss, "loss/total": loss}
        return metrics | {name: float(value.detach()) for name, value in losses.items()}


def _flatten(groups: Sequence[TrainingGroup], device: torch.device) -> FlatTokens:
    lengths = torch.tensor([len(c) for g in groups for c in g.completions])
    advantages = torch.tensor([a for g in groups for a in g.advantages])
    is_counted = torch.tensor([counts for g in groups for counts in g.is_counted])
    logprobs = torch.tensor([p for g in groups for row in g.rollout_logprobs for p in row])
    flat: Any = [lengths, advantages.repeat_interleave(lengths), logprobs, is_counted.repeat_interleave(lengths)]
    return FlatTokens(*(tensor.to(device) for tensor in flat))


def _longest(group: TrainingGroup) -> int:
    return max(map(len, group.completions))
