"""The completions of one call as they grow: what was drawn, what is forced, and when each has ended."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.sampling import uniforms
from thinkwright.types import Rollout

Indices = np.ndarray


class Completions:
    """All completions of a call, by index: request after request, member after member."""

    def __init__(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings, tokenizer: Any, end_ids: Sequence[int]
    ) -> None:
        self._requests, self._settings, self._tokenizer = requests, settings, tokenizer
        self._end_ids = np.array([] if settings.ignore_end else end_ids, dtype=np.int64)
        self._all_end_ids = set(end_ids)
        shape = len(requests) * settings.group_size, settings.max_tokens
        self._tokens = np.zeros(shape, dtype=np.int32)
        self._logprobs = np.zeros(shape, dtype=np.float32)
        self._untempered = np.zeros(shape, dtype=np.float32)
        self._uniforms = np.zeros(shape, dtype=np.float32)
        self._forced = np.full(shape, -1, dtype=np.int32)
        self.lengths = np.zeros(shape[0], dtype=np.int64)
        """Tokens of each completion so far."""
        self._limits = np.concatenate([self._limits_of(request) for request in requests])
        self._has_stopped = np.zeros(shape[0], dtype=bool)
        self._may_be_forced = settings.thinking_budget is not None or any(r.forced_start for r in requests)

    def __len__(self) -> int:
        return len(self.lengths)

    def _limits_of(self, request: RolloutRequest) -> Indices:
        group_size, limit = self._settings.group_size, self._settings.max_tokens
        limits = np.array(request.max_tokens or [limit] * group_size, dtype=np.int64)
        assert limits.shape == (group_size,), "a limit for each member"
        assert 0 < limits.min() <= limits.max() <= limit
        return limits

    def begin(self, index: int) -> None:
        """Draw the random numbers of a completion that is about to run, and queue its forced start."""
        member, request = index % self._settings.group_size, self._requests[index // self._settings.group_size]
        settings, limit = self._settings, int(self._limits[index])
        draws = uniforms(settings.seed, settings.step, request.prompt_id, member, limit)
        self._uniforms[index, :limit] = draws
        self._forced[index, : len(request.forced_start)] = request.forced_start

    def next_uniforms(self, running: Indices) -> Indices:
        """The random number of the next token of each running completion."""
        return self._uniforms[running, self.lengths[running]]

    def next_forced(self, running: Indices) -> Indices | None:
        """The token to be forced next on each running completion, -1 for none; None if this call forces nothing."""
        return self._forced[running, self.lengths[running]].astype(np.int64) if self._may_be_forced else None

    def append(self, running: Indices, tokens: Indices, logprobs: Indices, untempered: Indices) -> Indices:
        """Take one more token for each running completion; returns which have ended."""
        places = running, self.lengths[running]
        self._tokens[places], self._logprobs[places], self._untempered[places] = tokens, logprobs, untempered
        self.lengths[running] += 1
        self._has_stopped[running] = np.isin(tokens, self._end_ids)
        if self._settings.stop:
            self._has_stopped[running] |= [self._holds_stop_text(index) for index in running]
        has_ended = self._has_stopped[running] | (self.lengths[running] == self._limits[running])
        if self._settings.thinking_budget is not None:
            self._force_ends_of_thoughts(running[~has_ended])
        return has_ended

    def _holds_stop_text(self, index: int) -> bool:
        """Only the end of the text can be new: a token brings at least one byte, so so many tokens hold any stop."""
        length, reach = self.lengths[index], max(len(text.encode()) for text in self._settings.stop) + 1
        tail = self._decode(self._tokens[index, max(0, length - reach) : length])
        return any(text in tail for text in self._settings.stop)

    def _force_ends_of_thoughts(self, running: Indices) -> None:
        budget = self._settings.thinking_budget
        assert budget is not None
        for index in running[self.lengths[running] == budget.max_tokens]:
            if budget.end not in self._decode(self._tokens[index, : budget.max_tokens]):
                room = self._limits[index] - budget.max_tokens
                forced = budget.forced[:room]
                self._forced[index, budget.max_tokens : budget.max_tokens + len(forced)] = forced

    def group(self, request_index: int, policy_version: int) -> tuple[Rollout, ...]:
        """The rollouts of a request whose completions have all ended."""
        size = self._settings.group_size
        return tuple(
            self._rollout(index, policy_version) for index in range(request_index * size, (request_index + 1) * size)
        )

    def _rollout(self, index: int, policy_version: int) -> Rollout:
        length = int(self.lengths[index])
        ids = self._tokens[index, :length].tolist()
        return Rollout(
            token_ids=tuple(ids),
            logprobs=tuple(self._logprobs[index, :length].tolist()),
            untempered_logprobs=tuple(self._untempered[index, :length].tolist()),
            is_forced=tuple((self._forced[index, :length] >= 0).tolist()),
            text=self._decode(ids[:-1] if ids[-1] in self._all_end_ids else ids),
            finish_reason="stop" if self._has_stopped[index] else "length",
            policy_version=policy_version,
        )

    def _decode(self, ids: Any) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
