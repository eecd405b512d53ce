"""The native engine: samples with the very model object that is trained, each prompt computed once for its group.

Simple by design: all groups decode in step; members that have ended are dropped from the batch every few tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch

from thinkwright.errors import ModelError
from thinkwright.models.attention import DecodeContext
from thinkwright.models.logprobs import logits_from_hidden
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.sampling import sample_tokens, uniforms
from thinkwright.types import Rollout

COMPACT_EVERY = 8
"""Tokens between attempts to drop ended members: rarer wastes work on them, more often wastes copies."""


class NativeEngine:
    """Samples from a policy in this process."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @torch.no_grad()
    def generate(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings, policy_version: int
    ) -> list[tuple[Rollout, ...]]:
        """See ``RolloutEngine``."""
        check_lengths(self._policy, requests, settings.max_tokens)
        tokens, logprobs = self._decode(requests, settings)
        return [
            tuple(self._rollout(tokens[i, j], logprobs[i, j], policy_version) for j in range(settings.group_size))
            for i in range(len(requests))
        ]

    def _decode(self, requests: Sequence[RolloutRequest], settings: SamplingSettings) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and log-probabilities, each (P, G, max_tokens); -1 after the end of a completion."""
        policy, group = self._policy, settings.group_size
        random = torch.from_numpy(_uniforms(requests, settings)).to(policy.device)  # (P, G, T)
        tokens = np.full((len(requests), group, settings.max_tokens), -1, dtype=np.int64)
        logprobs = np.zeros(tokens.shape, dtype=np.float32)
        prompts, last = policy.read_prompts([list(request.prompt_ids) for request in requests])
        start = prompts.num_tokens.cpu().numpy()
        context, head = DecodeContext(prompts, group), policy.head.float()
        hidden = last.repeat_interleave(group, 0)  # (S, E)
        # Which prompt and member each row of the batch is, as (P', G').
        row_prompt = np.repeat(np.arange(len(requests))[:, None], group, axis=1)
        row_member = np.repeat(np.arange(group)[None], len(requests), axis=0)
        is_active = np.ones_like(row_prompt, dtype=bool)
        for position in range(settings.max_tokens):
            uniform = random[row_prompt.ravel(), row_member.ravel(), position]
            chosen, chosen_logprobs = sample_tokens(logits_from_hidden(hidden, head), uniform, settings.temperature)
            ids = chosen.cpu().numpy().reshape(row_prompt.shape)
            where = row_prompt[is_active], row_member[is_active], position
            tokens[where] = ids[is_active]
            logprobs[where] = chosen_logprobs.cpu().numpy().reshape(row_prompt.shape)[is_active]
            is_active = is_active & ~np.isin(ids, policy.end_ids)
            if not is_active.any() or position + 1 == settings.max_tokens:
                break
            if position % COMPACT_EVERY == COMPACT_EVERY - 1:
                prompts_kept, members = _active_rows(is_active)
                context.keep(
                    torch.from_numpy(prompts_kept).to(policy.device), torch.from_numpy(members).to(policy.device)
                )
                rows = prompts_kept[:, None], members
                ids, row_prompt, row_member = ids[rows], row_prompt[rows], row_member[rows]
                is_active = is_active[rows]
            positions = torch.from_numpy(start[row_prompt].reshape(-1, 1) + position).to(policy.device)
            inputs = torch.from_numpy(ids.reshape(-1, 1)).to(policy.device)
            hidden = policy.hidden_states(inputs, positions, context)[:, 0]
            context.num_tokens += 1
        return tokens, logprobs

    def _rollout(self, tokens: np.ndarray, logprobs: np.ndarray, policy_version: int) -> Rollout:
        ids = tokens[tokens >= 0].tolist()
        has_ended = ids[-1] in self._policy.end_ids
        text_ids = ids[:-1] if has_ended else ids
        return Rollout(
            token_ids=tuple(ids),
            logprobs=tuple(logprobs[: len(ids)].tolist()),
            text=self._policy.tokenizer.decode(text_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False),
            finish_reason="stop" if has_ended else "length",
            policy_version=policy_version,
        )


def check_lengths(policy: Policy, requests: Sequence[RolloutRequest], max_tokens: int) -> None:
    """Raises ModelError if a prompt with its completion would not fit the model's context."""
    longest = max(requests, key=lambda request: len(request.prompt_ids))
    needed = len(longest.prompt_ids) + max_tokens
    if needed > policy.max_positions:
        raise ModelError(
            f"prompt {longest.prompt_id} has {len(longest.prompt_ids)} tokens; "
            f"with {max_tokens} response tokens that is {needed}, "
            f"more than the model's context of {policy.max_positions}; "
            "lower rollout.max_response_tokens or drop the prompt"
        )


def _uniforms(requests: Sequence[RolloutRequest], settings: SamplingSettings) -> np.ndarray:
    return np.stack(
        [
            [
                uniforms(settings.seed, settings.step, r.prompt_id, j, settings.max_tokens)
                for j in range(settings.group_size)
            ]
            for r in requests
        ]
    )


def _active_rows(is_active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (P',) with an active member, and of each its active members first (P', G'), G' the most of any row."""
    rows = np.flatnonzero(is_active.any(axis=1))
    order = np.argsort(~is_active[rows], axis=1, kind="stable")
    return rows, order[:, : int(is_active.sum(axis=1).max())]
