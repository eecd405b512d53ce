"""Groups in a running batch, all drawn in the same way; more may be added while it runs, and weights may change."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch

from thinkwright.models.policy import Policy
from thinkwright.rollout.completions import Completions
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.memory import MemoryPlan
from thinkwright.rollout.prefix import Prefix, read_prefix
from thinkwright.rollout.running import RunningBatch
from thinkwright.rollout.sampling import draw_tokens
from thinkwright.types import Rollout

Key = tuple[int, int]
"""Of a group: the number of its call, and its request's within it."""


@dataclass
class _Group:
    """A group that was added and has not ended."""

    key: Key
    request: RolloutRequest
    step: int
    num_begun: int
    num_open: int
    version: int = 0
    """Of the weights that read its prompt."""


class GroupBatch:
    """The groups that run and those that wait. A completion's place is its prompt's slot, times G, plus its member."""

    def __init__(
        self,
        policy: Policy,
        settings: SamplingSettings,
        plan: MemoryPlan,
        prefix: Prefix,
        policy_version: int,
        *,
        may_be_forced: bool,
    ) -> None:
        """``may_be_forced``: whether tokens of any completion may be."""
        self._policy, self._settings, self._plan, self._prefix = policy, settings, plan, prefix
        self._may_be_forced = may_be_forced
        self._version, self._size = policy_version, settings.group_size
        self._completions = Completions(policy, plan.num_prompts * self._size, settings.max_tokens, may_be_forced)
        self._batch = RunningBatch(policy, self._completions, plan, prefix)
        self._waiting: deque[_Group] = deque()
        self._read: deque[int] = deque()
        """Prompt slots of groups with members that have not begun."""
        self._groups: dict[int, _Group] = {}
        """By prompt slot."""
        # By place: its first token's version, and each later version with the token it came with.
        self._first_versions = np.zeros(len(self._completions), dtype=np.int64)
        self._changes: dict[int, list[tuple[int, int]]] = {}

    @property
    def is_running(self) -> bool:
        """Whether any completion has not ended."""
        return bool(self._groups or self._waiting)

    def fits(self, request: RolloutRequest, settings: SamplingSettings) -> bool:
        """Whether the request can be added: drawn as the others are, and no larger than was planned for."""
        num_new = len(request.prompt_ids) - self._prefix.length_in(request.prompt_ids)
        is_forced = settings.thinking_budget is not None or bool(request.forced_start)
        is_alike = replace(settings, step=0) == replace(self._settings, step=0)
        return is_alike and num_new <= self._plan.prompt_tokens and (self._may_be_forced or not is_forced)

    def add(self, key: Key, request: RolloutRequest, settings: SamplingSettings) -> None:
        """Queue a group, which ``step`` will give back under this key. It must fit."""
        assert self.fits(request, settings), "only what was planned for"
        self._waiting.append(_Group(key, request, settings.step, 0, self._size))

    @torch.inference_mode()
    def step(self) -> list[tuple[Key, tuple[Rollout, ...]]]:
        """Draw a token for each running completion; returns the groups that are now complete."""
        batch = self._batch
        batch.advance()
        self._fill_rows()
        drawn = draw_tokens(batch.logits(), batch.next_uniforms(), self._settings, batch.next_forced())
        taken = batch.take(drawn)
        slots, counts = np.unique(taken.places[taken.has_ended] // self._size, return_counts=True)
        finished: list[int] = []
        for slot, count in zip(slots.tolist(), counts.tolist(), strict=True):
            self._groups[slot].num_open -= count
            if self._groups[slot].num_open == 0:
                finished.append(slot)
        found = [(self._groups.pop(slot).key, self._rollouts(slot)) for slot in finished]
        batch.free_prompts(finished)
        return found

    def weights_changed(self, policy_version: int) -> None:
        """The policy's weights were written to since the last step: the next tokens are another version's.

        What the old weights made of prompts and completions so far stays; the common prefix is read anew, and so are
        prompts that no completion has begun on.
        """
        self._version = policy_version
        for place in self._batch.places.tolist():
            self._changes.setdefault(place, []).append((int(self._completions.lengths[place]), policy_version))
        unbegun = [slot for slot in self._read if self._groups[slot].num_begun == 0]
        for slot in reversed(unbegun):
            self._waiting.appendleft(self._groups.pop(slot))
            self._read.remove(slot)
        self._batch.free_prompts(unbegun)
        if self._prefix.token_ids:
            self._prefix = read_prefix(self._policy, self._prefix.token_ids)
            self._batch.renew_prefix(self._prefix)

    def _rollouts(self, slot: int) -> tuple[Rollout, ...]:
        """Of a group whose completions have all ended."""
        places = range(slot * self._size, (slot + 1) * self._size)
        return tuple(
            self._completions.rollout(place, int(self._first_versions[place]), tuple(self._changes.pop(place, ())))
            for place in places
        )

    def _fill_rows(self) -> None:
        """Give free rows to the next completions, as long as their prompts are read or can be."""
        free = self._batch.num_free_rows
        while self._waiting and self._batch.has_free_prompts and self._num_ready() < free:
            self._read_prompts()
        new: list[int] = []
        while self._read and len(new) < free:
            slot = self._read[0]
            group = self._groups[slot]
            end = min(self._size, group.num_begun + free - len(new))
            settings = replace(self._settings, step=group.step)
            for member in range(group.num_begun, end):
                place = slot * self._size + member
                self._completions.begin(place, group.request, settings, member)
                self._first_versions[place] = group.version
                if group.version != self._version:
                    self._changes[place] = [(1, self._version)]
                new.append(place)
            group.num_begun = end
            if end == self._size:
                self._read.popleft()
        if new:
            places = np.array(new)
            self._batch.begin(places, places // self._size)

    def _num_ready(self) -> int:
        """Completions whose prompts are read, and that have not begun."""
        return sum(self._size - self._groups[slot].num_begun for slot in self._read)

    def _read_prompts(self) -> None:
        for slot in self._batch.read_prompts(group.request.prompt_ids for group in self._waiting).tolist():
            self._groups[slot] = group = self._waiting.popleft()
            group.version = self._version
            self._read.append(slot)
