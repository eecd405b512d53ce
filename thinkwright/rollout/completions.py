"""Completions as they grow: what was drawn, what is forced, and when each has ended.

Each stands at a place, and each may have settings of its own. A place is used again once its completion is of no more
use.
"""

from typing import Any

import numpy as np

from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings, ThinkingBudget
from thinkwright.rollout.sampling import uniforms
from thinkwright.types import Rollout

Indices = np.ndarray


class Completions:
    """The completions of a batch, by place."""

    def __init__(self, policy: Policy, num_places: int, max_tokens: int, may_be_forced: bool) -> None:
        """``max_tokens``: the most that any completion may take. ``may_be_forced``: whether tokens of any may be."""
        self._tokenizer, self._all_end_ids = policy.tokenizer, set(policy.end_ids)
        self._is_end = np.zeros(len(policy.head), dtype=bool)
        self._is_end[[token for token in policy.end_ids if token < len(policy.head)]] = True
        shape = num_places, max_tokens
        self._tokens = np.zeros(shape, dtype=np.int32)
        self._logprobs = np.zeros(shape, dtype=np.float32)
        self._untempered = np.zeros(shape, dtype=np.float32)
        self._uniforms = np.zeros(shape, dtype=np.float32)
        self._forced = np.full(shape, -1, dtype=np.int32)
        self.lengths = np.zeros(num_places, dtype=np.int64)
        """Tokens of each completion so far."""
        self._limits = np.zeros(num_places, dtype=np.int64)
        self._has_stopped = np.zeros(num_places, dtype=bool)
        self._ignores_end = np.zeros(num_places, dtype=bool)
        self._may_be_forced = may_be_forced
        # Only of places that have any.
        self._stops: dict[int, tuple[str, ...]] = {}
        self._budgets: dict[int, ThinkingBudget] = {}
        self._budget_tokens = np.full(num_places, -1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def begin(self, place: int, request: RolloutRequest, settings: SamplingSettings, member: int) -> None:
        """A member of a request is about to run here: draw its random numbers, and queue its forced start."""
        limit, budget = limit_of(request, settings, member), settings.thinking_budget
        self.lengths[place], self._limits[place] = 0, limit
        self._has_stopped[place], self._ignores_end[place] = False, settings.ignore_end
        self._uniforms[place, :limit] = uniforms(settings.seed, settings.step, request.prompt_id, member, limit)
        self._forced[place] = -1
        self._forced[place, : len(request.forced_start)] = request.forced_start
        self._stops.pop(place, None)
        if settings.stop:
            self._stops[place] = settings.stop
        self._budgets.pop(place, None)
        self._budget_tokens[place] = min(budget.max_tokens, limit) if budget else -1
        if budget:
            self._budgets[place] = budget
        assert self._may_be_forced or not (budget or request.forced_start)

    def next_uniforms(self, running: Indices) -> Indices:
        """The random number of the next token of each running completion."""
        return self._uniforms[running, self.lengths[running]]

    def next_forced(self, running: Indices) -> Indices | None:
        """The token to be forced next on each running completion, -1 for none; None if none is ever forced here."""
        return self._forced[running, self.lengths[running]].astype(np.int64) if self._may_be_forced else None

    def append(self, running: Indices, tokens: Indices, logprobs: Indices, untempered: Indices) -> Indices:
        """Take one more token for each running completion; returns which have ended."""
        places = running, self.lengths[running]
        self._tokens[places], self._logprobs[places], self._untempered[places] = tokens, logprobs, untempered
        self.lengths[running] += 1
        has_stopped = self._is_end[tokens] & ~self._ignores_end[running]
        if self._stops:
            has_stopped |= [self._holds_stop_text(place) for place in running.tolist()]
        self._has_stopped[running] = has_stopped
        has_ended = has_stopped | (self.lengths[running] == self._limits[running])
        if self._budgets:
            self._force_ends_of_thoughts(running[~has_ended])
        return has_ended

    def _holds_stop_text(self, place: int) -> bool:
        """Only the end of the text can be new: a token brings at least one byte, so so many tokens hold any stop."""
        stops = self._stops.get(place, ())
        if not stops:
            return False
        length, reach = self.lengths[place], max(len(text.encode()) for text in stops) + 1
        tail = self._decode(self._tokens[place, max(0, length - reach) : length])
        return any(text in tail for text in stops)

    def _force_ends_of_thoughts(self, running: Indices) -> None:
        for place in running[self.lengths[running] == self._budget_tokens[running]].tolist():
            budget = self._budgets[place]
            text = self._decode(self._tokens[place, : budget.max_tokens])
            if budget.end not in text and budget.start in text:
                room = self._limits[place] - budget.max_tokens
                forced = budget.forced[:room]
                self._forced[place, budget.max_tokens : budget.max_tokens + len(forced)] = forced

    def has_stopped(self, place: int) -> bool:
        """Whether a completion that has ended did so by itself, rather than at its limit."""
        return bool(self._has_stopped[place])

    def rollout(self, place: int, policy_version: int, version_changes: tuple[tuple[int, int], ...] = ()) -> Rollout:
        """A completion that has ended."""
        length = int(self.lengths[place])
        ids = self._tokens[place, :length].tolist()
        return Rollout(
            token_ids=tuple(ids),
            logprobs=tuple(self._logprobs[place, :length].tolist()),
            untempered_logprobs=tuple(self._untempered[place, :length].tolist()),
            is_forced=tuple((self._forced[place, :length] >= 0).tolist()),
            text=self._decode(ids[:-1] if ids[-1] in self._all_end_ids else ids),
            finish_reason="stop" if self._has_stopped[place] else "length",
            policy_version=policy_version,
            version_changes=version_changes,
        )

    def _decode(self, ids: Any) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def limit_of(request: RolloutRequest, settings: SamplingSettings, member: int) -> int:
    """The most tokens that a member's completion may take."""
    if request.max_tokens is None:
        return settings.max_tokens
    assert len(request.max_tokens) == settings.group_size, "a limit for each member"
    assert 0 < request.max_tokens[member] <= settings.max_tokens
    return request.max_tokens[member]
