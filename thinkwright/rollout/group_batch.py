"""All completions of one call in a running batch: group after group, all drawn in the same way."""

from collections.abc import Sequence

import numpy as np
import torch

from thinkwright.models.policy import Policy
from thinkwright.rollout.completions import Completions
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.memory import MemoryPlan
from thinkwright.rollout.prefix import Prefix
from thinkwright.rollout.running import RunningBatch
from thinkwright.rollout.sampling import draw_tokens
from thinkwright.types import Rollout


class GroupBatch:
    """The state of one call. A completion's place is its number: request after request, member after member."""

    def __init__(
        self,
        policy: Policy,
        requests: Sequence[RolloutRequest],
        settings: SamplingSettings,
        plan: MemoryPlan,
        prefix: Prefix,
    ) -> None:
        self._requests, self._settings = requests, settings
        may_be_forced = settings.thinking_budget is not None or any(request.forced_start for request in requests)
        num_completions = len(requests) * settings.group_size
        self._completions = Completions(policy, num_completions, settings.max_tokens, may_be_forced)
        self._batch = RunningBatch(policy, self._completions, plan, prefix)
        # By request.
        self._prompt_slots = np.full(len(requests), -1)
        self._num_open = np.full(len(requests), settings.group_size)
        self._next_completion = self._next_request = 0

    @property
    def is_running(self) -> bool:
        """Whether any completion has not ended."""
        return bool(self._num_open.any())

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Draw a token for each running completion; returns the requests whose groups are now complete."""
        batch = self._batch
        batch.advance()
        self._fill_slots()
        drawn = draw_tokens(batch.logits(), batch.next_uniforms(), self._settings, batch.next_forced())
        taken = batch.take(drawn)
        ended = taken.places[taken.has_ended] // self._settings.group_size
        np.subtract.at(self._num_open, ended, 1)
        complete = [int(request) for request in np.unique(ended) if self._num_open[request] == 0]
        batch.free_prompts(int(self._prompt_slots[request]) for request in complete)
        return complete

    def group(self, request_index: int, policy_version: int) -> tuple[Rollout, ...]:
        """The rollouts of a request whose completions have all ended."""
        size = self._settings.group_size
        places = range(request_index * size, (request_index + 1) * size)
        return tuple(self._completions.rollout(place, policy_version) for place in places)

    def _fill_slots(self) -> None:
        """Give free rows to the next completions, as long as their prompts are read or can be."""
        size, first = self._settings.group_size, self._next_completion
        count = min(self._batch.num_free_rows, len(self._completions) - first)
        while count > 0 and self._next_request * size < first + count and self._batch.has_free_prompts:
            self._read_prompts()
        new = np.arange(first, min(first + count, self._next_request * size))
        if len(new) == 0:
            return
        for place in new.tolist():
            self._completions.begin(place, self._requests[place // size], self._settings, member=place % size)
        self._next_completion += len(new)
        self._batch.begin(new, self._prompt_slots[new // size])

    def _read_prompts(self) -> None:
        waiting = (self._requests[i].prompt_ids for i in range(self._next_request, len(self._requests)))
        slots = self._batch.read_prompts(waiting)
        self._prompt_slots[self._next_request : self._next_request + len(slots)] = slots
        self._next_request += len(slots)
