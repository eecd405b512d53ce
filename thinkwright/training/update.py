"""One policy update: groups in, new weights out. Groups are packed: each prompt once, nothing padded.

Log-probabilities at sampling serve as the old policy's (sampling and update share one model); how far the trainer's own
differ before the first update is measured as ``policy/logprob_gap``.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from thinkwright.algorithms.custom import policy_loss_of
from thinkwright.algorithms.entropy import covariances, drawn_within, largest
from thinkwright.algorithms.kl import KL_ESTIMATORS, k3, kl_penalized
from thinkwright.algorithms.reductions import REDUCTIONS
from thinkwright.algorithms.rollout_correction import CORRECTIONS, DEFAULT_CAP
from thinkwright.algorithms.teacher_trace import shaped_loss
from thinkwright.algorithms.tokens import LossTokens
from thinkwright.config.algorithm import Algorithm
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import TrainingError
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, training_context
from thinkwright.models.token_tree import TokenTree, pack, shared_prefix, split_by_tokens
from thinkwright.training.memory_limit import MicroBatch
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.types import Metrics, TrainingGroup, TrainingMember

TRACE_PROBABILITY = "policy/trace_probability"
"""How likely the policy finds a token of a teacher's trace, the mean; not there in an update without traces."""
_TAUGHT_TOKENS = "policy/trace_tokens"


@dataclass(frozen=True)
class UpdateTokens:
    """The completion tokens of an update, or of a micro-batch of it, one completion after the other; N tokens."""

    tokens: Tensor  # (N,)
    advantages: Tensor  # (N,)
    rollout_logprobs: Tensor  # (N,)
    old_logprobs: Tensor  # (N,) the same, unless another program sampled
    sequences: Tensor  # (N,) which completion
    weights: Tensor  # (N,) in the loss; 0 where the completion is left out of it, or the token was given
    is_drawn: Tensor  # (N,) False for tokens that were given
    is_taught: Tensor  # (N,) True for those of a teacher's trace
    is_learned: Tensor  # (N,) False where entropy's rule takes the gradient away
    is_penalized: Tensor  # (N,) True where it adds a penalty

    def part(self, start: int, stop: int) -> "UpdateTokens":
        """Tokens ``start`` to ``stop``; completions are never cut."""
        cut = {name: value[start:stop] for name, value in vars(self).items()}
        return UpdateTokens(**cut | {"sequences": cut["sequences"] - cut["sequences"][0]})

    def only(self, chosen: Tensor) -> "UpdateTokens":
        """Some of the tokens, by a bool (N,)."""
        return UpdateTokens(**{name: value[chosen] for name, value in vars(self).items()})


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
    members: list[TrainingMember] = []
    num_tokens = len(group.prompt_ids)
    for member in group.members:
        if members and num_tokens + len(member.token_ids) > max_tokens:
            yield replace(group, members=tuple(members))
            members, num_tokens = [], len(group.prompt_ids)
        members.append(member)
        num_tokens += len(member.token_ids)
    yield replace(group, members=tuple(members))


def tree_of(groups: Sequence[TrainingGroup]) -> TokenTree:
    """The groups packed into one row."""
    return pack([(group.prompt_ids, group.completions) for group in groups])


def policy_logprobs(policy: Policy, tree: TokenTree, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) and entropies (N,) of all completion tokens (N,) of a packed tree, in order."""

    def compute() -> tuple[Tensor, Tensor]:
        hidden = policy.packed_hidden_states(tree, training_context(tree, policy.device))
        predictors = torch.tensor(tree.predictors, device=policy.device)
        # Not hidden[predictors]: the gradient of that adds up in an order of the threads' own, so that a resumed run
        # would not be the same bit for bit.
        return token_logprobs(hidden.index_select(0, predictors), policy.head, tokens, temperature)

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
        *,
        max_tokens: int,
        trace_shaping: float | None = None,
    ) -> None:
        """``max_tokens``: the limit of a completion. ``trace_shaping``: of a teacher's traces, if there may be some.

        Raises RecipeError for a loss of the user's own that is none.
        """
        self._ranks = ranks
        self._policy = policy
        self._reference = reference
        self._optimizer = optimizer
        self._algorithm = algorithm
        self._temperature = temperature
        self.micro_batch = MicroBatch(micro_batch_tokens, ranks)
        self._max_tokens = max_tokens
        self._trace_shaping = trace_shaping
        self._loss = partial(policy_loss_of(algorithm.loss), **algorithm.loss_settings())

    def update(
        self,
        groups: Sequence[TrainingGroup],
        lr: float,
        max_grad_norm: float,
        *,
        is_corrected: bool = False,
        seed: str = "",
    ) -> Metrics:
        """One optimizer step on the groups, the same ones on every rank; each makes its part of the passes.

        ``is_corrected``: other weights or another program drew the tokens, so ``algorithm.correction`` is heeded. For
        groups without old log-probabilities this is then the step's first update, whose own are the old ones.
        ``seed``: of what is drawn within the update.

        With a rate of 0 only the figures are made. TrainingError, weights untouched, if loss or gradient is not finite.
        """
        found = self._flatten(groups, seed)
        num_tokens = max(1, int(((found.weights > 0) & ~found.is_taught).sum()))
        is_first = is_corrected and groups[0].members[0].old_logprobs is None

        def passes(max_tokens: int) -> list[dict[str, Tensor]]:
            return [
                self._backward(batch, found.part(first, last), num_tokens, float(is_own), is_corrected, is_first)
                for (batch, first, last), is_own in self._ranks.passes(_placed(groups, max_tokens))
            ]

        shares = self.micro_batch.within(passes, self._optimizer.forget_gradients)
        totals = self._ranks.sums({name: float(sum(share[name] for share in shares)) for name in shares[0]})
        try:
            norm = self._optimizer.gradient_norm(totals["loss/total"])
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._culprits(groups)}") from error
        if lr > 0:
            self._optimizer.step(lr, norm, max_grad_norm)
        else:
            self._optimizer.forget_gradients()
        if num_taught := totals.pop(_TAUGHT_TOKENS, 0.0):
            totals[TRACE_PROBABILITY] /= num_taught
        else:
            totals.pop(TRACE_PROBABILITY, None)
        return totals | {"optim/grad_norm": norm}

    def _culprits(self, groups: Sequence[TrainingGroup]) -> str:
        """Of which completions the loss is not finite, in words; whatever fails here is no reason to hide why it was
        asked."""
        try:
            found = list(self._not_finite(groups))
        except RuntimeError as error:
            return f"which completions did it could not be told ({error})"
        if not found:
            return "the loss of each completion is finite by itself, so it is the gradient that is not"
        return f"not finite for {len(found)} completions of the mini-batch: {', '.join(found[:5])}"

    @torch.no_grad()
    def _not_finite(self, groups: Sequence[TrainingGroup]) -> Iterator[str]:
        for number, group in enumerate(groups, 1):
            count = 0
            for piece in itertools.chain.from_iterable(micro_batches([group], self.micro_batch.tokens)):
                tokens = _token_ids([piece]).to(self._policy.device)
                logprobs, _ = policy_logprobs(self._policy, tree_of([piece]), tokens, self._temperature)
                rows = logprobs.split([len(member.token_ids) for member in piece.members])
                for member, own in zip(piece.members, rows, strict=True):
                    count += 1
                    told = torch.tensor([*member.advantages, *member.rollout_logprobs])
                    if not (own.isfinite().all() and told.isfinite().all()):
                        asked = self._policy.tokenizer.decode(group.prompt_ids)[-80:]
                        yield f"group {number} ({asked!r}), completion {count}"

    @torch.no_grad()
    def with_old_logprobs(self, groups: Sequence[TrainingGroup]) -> list[TrainingGroup]:
        """The groups with the log-probabilities of their tokens under the weights as they are now."""

        def passes(max_tokens: int) -> list[list[float]]:
            own: list[list[float]] = []
            for batch, is_own in self._ranks.passes(list(micro_batches(groups, max_tokens))):
                tokens = _token_ids(batch).to(self._policy.device)
                logprobs, _ = policy_logprobs(self._policy, tree_of(batch), tokens, self._temperature)
                if is_own:
                    own.append(logprobs.tolist())
            return own

        own = self.micro_batch.within(passes, lambda: None)
        values = itertools.chain.from_iterable(self._ranks.joined(own))
        return [with_tokens(group, "old_logprobs", values) for group in groups]

    def _flatten(self, groups: Sequence[TrainingGroup], seed: str) -> UpdateTokens:
        """All tokens of an update, with what each weighs in its loss and what entropy's rule makes of it."""
        members = [member for group in groups for member in group.members]
        lengths = torch.tensor([len(member.token_ids) for member in members])
        is_counted = torch.tensor([member.is_counted for member in members])
        prompts = torch.tensor([i for i, group in enumerate(groups) for m in group.members if m.is_counted])
        _, prompts = prompts.unique(return_inverse=True)  # those without a counted completion are no prompts
        weights = torch.zeros(len(lengths))
        reduce = REDUCTIONS[self._algorithm.reduction]
        is_drawn = of_tokens(groups, drawn_of)
        sequences = torch.arange(len(lengths)).repeat_interleave(lengths)
        num_drawn = torch.zeros(len(lengths), dtype=torch.long).index_add(0, sequences, is_drawn.long())
        weights[is_counted] = reduce(num_drawn[is_counted], prompts, self._max_tokens)
        advantages = of_tokens(groups, lambda member: member.advantages)
        is_taught = torch.tensor([member.is_taught for member in members]).repeat_interleave(lengths)
        rollout_logprobs = of_tokens(groups, lambda member: member.rollout_logprobs)
        old_logprobs = of_tokens(groups, lambda member: member.old_logprobs or member.rollout_logprobs)
        is_learned, is_penalized = self._chosen(
            old_logprobs, advantages, is_counted.repeat_interleave(lengths) & is_drawn & ~is_taught, seed
        )
        weights = weights.repeat_interleave(lengths) * is_drawn
        flat: Any = (
            _token_ids(groups),
            advantages,
            rollout_logprobs,
            old_logprobs,
            sequences,
            weights,
            is_drawn,
            is_taught,
            is_learned,
            is_penalized,
        )
        return UpdateTokens(*(tensor.to(self._policy.device) for tensor in flat))

    def _chosen(self, old_logprobs: Tensor, advantages: Tensor, is_counted: Tensor, seed: str) -> tuple[Tensor, Tensor]:
        """Which tokens are learned from, and which penalised, by the covariance of log-probability and advantage."""
        nothing, settings = torch.zeros_like(is_counted), self._algorithm.entropy_settings()
        if self._algorithm.entropy not in ("kl_cov", "clip_cov"):
            return ~nothing, nothing
        found = covariances(old_logprobs, advantages, is_counted)
        if self._algorithm.entropy == "kl_cov":
            return ~nothing, largest(found, settings["entropy_share"])
        bounds = settings["covariance_low"], settings["covariance_high"]
        return ~drawn_within(found, *bounds, settings["entropy_share"], seed), nothing

    def _backward(
        self,
        groups: list[TrainingGroup],
        part: UpdateTokens,
        num_tokens: int,
        own: float,
        is_corrected: bool,
        is_first: bool,
    ) -> dict[str, Tensor]:
        """Add the micro-batch's share of the update's gradient, times ``own``; returns its share of each metric."""
        settings, tree = self._algorithm, tree_of(groups)
        logprobs, entropies = policy_logprobs(self._policy, tree, part.tokens, self._temperature)
        ref_logprobs = None
        if self._reference is not None:
            with torch.no_grad():
                ref_logprobs, _ = policy_logprobs(self._reference, tree, part.tokens, self._temperature)
        taught_loss, taught_metrics = self._taught(part, logprobs, own)
        is_own = part.is_drawn & ~part.is_taught
        if ref_logprobs is not None:
            ref_logprobs = ref_logprobs[is_own]
        logprobs, entropies, part = logprobs[is_own], entropies[is_own], part.only(is_own)
        old_logprobs, advantages = logprobs.detach() if is_first else part.old_logprobs, part.advantages
        if ref_logprobs is not None and settings.kl_in == "reward":
            advantages = kl_penalized(advantages, old_logprobs, ref_logprobs, part.sequences, settings.kl_coef)
        tokens = LossTokens(logprobs, old_logprobs, part.rollout_logprobs, advantages, part.sequences)
        per_token, is_clipped = self._loss(tokens)
        weights, corrections = part.weights * own, self._corrections(tokens, is_corrected)
        learned = self._learned(part, entropies.detach())
        policy_loss = (per_token * learned * corrections * weights).sum() + taught_loss
        kl, kl_loss = self._kl(tokens, ref_logprobs, weights, is_corrected)
        loss = policy_loss + settings.kl_coef * kl_loss + self._entropy_loss(tokens, entropies, part, weights)
        loss.backward()
        shares = {
            "policy/kl": kl,
            "policy/entropy": entropies.detach(),
            "policy/clip_fraction": (is_clipped | ~learned).float(),
            "policy/logprob_gap": (logprobs.detach() - part.rollout_logprobs).abs(),
        }
        if is_corrected:
            shares["policy/correction"] = corrections
        counted = (part.weights > 0).float() * own / num_tokens
        metrics = {name: (share * counted).sum() for name, share in shares.items()}
        losses = {"loss/policy": policy_loss, "loss/kl": kl_loss, "loss/total": loss}
        return metrics | taught_metrics | {name: value.detach() for name, value in losses.items()}

    def _taught(self, part: UpdateTokens, logprobs: Tensor, own: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a teacher's traces; of their counted tokens the number and the sum of probabilities."""
        if self._trace_shaping is None:
            return logprobs.new_zeros(()), {}
        traces, found = part.only(part.is_taught), logprobs[part.is_taught]
        loss = (shaped_loss(found, traces.advantages, self._trace_shaping) * traces.weights * own).sum()
        counted = (traces.weights > 0).float() * own
        return loss, {_TAUGHT_TOKENS: counted.sum(), TRACE_PROBABILITY: (found.detach().exp() * counted).sum()}

    def _corrections(self, tokens: LossTokens, is_corrected: bool) -> Tensor:
        """What each token's loss weighs, (N,), since another program or older weights drew it."""
        settings = self._algorithm
        # DPPO holds tokens against the sampler's probabilities itself.
        name = settings.correction or ("none" if settings.loss == "dppo" else "truncate")
        if not is_corrected or name == "none":
            return torch.ones_like(tokens.advantages)
        return CORRECTIONS[name](tokens, settings.correction_cap or DEFAULT_CAP).detach()

    def _learned(self, part: UpdateTokens, entropies: Tensor) -> Tensor:
        """Which tokens are learned from (N,). Those of high entropy are told within the micro-batch, since they are
        known only with its pass."""
        if self._algorithm.entropy != "high_entropy":
            return part.is_learned
        known = entropies.masked_fill(part.weights == 0, -torch.inf)
        return largest(known, self._algorithm.entropy_settings()["entropy_share"])

    def _kl(
        self, tokens: LossTokens, ref_logprobs: Tensor | None, weights: Tensor, is_corrected: bool
    ) -> tuple[Tensor, Tensor]:
        """The estimate for each token (N,), without a gradient, and its share of the loss; 0 where it is no part."""
        if ref_logprobs is None:
            return torch.zeros_like(weights), weights.new_zeros(())
        settings = self._algorithm
        if settings.kl_in == "reward":
            return k3(tokens.logprobs.detach(), ref_logprobs), weights.new_zeros(())
        estimate = KL_ESTIMATORS[settings.kl.removesuffix("_unbiased")](tokens.logprobs, ref_logprobs)
        if settings.kl == "k3_unbiased":
            drawn_from = tokens.rollout_logprobs if is_corrected else tokens.old_logprobs
            estimate = estimate * (tokens.logprobs - drawn_from).exp()
        return estimate.detach(), (estimate * weights).sum()

    def _entropy_loss(self, tokens: LossTokens, entropies: Tensor, part: UpdateTokens, weights: Tensor) -> Tensor:
        """Entropy's term of the loss; 0 where it has none."""
        coef = self._algorithm.entropy_settings().get("entropy_coef", 0.0)
        if self._algorithm.entropy == "bonus":
            return -coef * (entropies * weights).sum()
        if self._algorithm.entropy == "kl_cov":
            change = (tokens.logprobs - tokens.old_logprobs).abs()
            return coef * (change * part.is_penalized * weights).sum()
        return weights.new_zeros(())


def _placed(groups: Sequence[TrainingGroup], max_tokens: int) -> list[tuple[list[TrainingGroup], int, int]]:
    """The micro-batches, each with the places of its first token and of the one after its last among all tokens."""
    found, start = list[tuple[list[TrainingGroup], int, int]](), 0
    for batch in micro_batches(groups, max_tokens):
        stop = start + sum(len(completion) for group in batch for completion in group.completions)
        found.append((batch, start, stop))
        start = stop
    return found


def drawn_of(member: TrainingMember) -> Sequence[bool]:
    """Which of its tokens were drawn."""
    return member.is_drawn or [True] * len(member.token_ids)


def of_tokens(groups: Sequence[TrainingGroup], values_of: Callable[[TrainingMember], Sequence[float]]) -> Tensor:
    """(N,) a value of each completion token, one completion after the other."""
    return torch.tensor([value for group in groups for member in group.members for value in values_of(member)])


def with_tokens(group: TrainingGroup, name: str, values: Iterator[float]) -> TrainingGroup:
    """The group with the next values, one for each of its tokens, in a field of its members."""
    members = (replace(m, **{name: tuple(itertools.islice(values, len(m.token_ids)))}) for m in group.members)
    return replace(group, members=tuple(members))


def _token_ids(groups: Sequence[TrainingGroup]) -> Tensor:
    return of_tokens(groups, lambda member: member.token_ids)
