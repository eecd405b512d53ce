"""The native engine: samples with the very model object that is trained, in this process.

Continuous batching over slots: a completion that ends gives its slot to the next one at once, so long and short ones do
not wait for each other. The prompts' common prefix is computed once while the weights stay the same, each prompt once
for its group, and a completion's own keys and values lie in pages (``models/paged_attention.py``).
"""

from collections.abc import Iterator, Sequence

from thinkwright.models.policy import Policy
from thinkwright.models.token_tree import MIN_SHARED_PREFIX, common_prefix
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.rollout.group_batch import GroupBatch
from thinkwright.rollout.memory import MemoryPlan, check_lengths, plan_memory
from thinkwright.rollout.prefix import Prefix, read_prefix
from thinkwright.types import Rollout

DEFAULT_SLOTS = 256


class NativeEngine(RolloutEngine):
    """Samples from a policy in this process."""

    def __init__(self, policy: Policy, slots: int = DEFAULT_SLOTS, memory_bytes: int | None = None) -> None:
        """``slots``: completions that run at the same time, at most. ``memory_bytes``: for keys and values."""
        self._policy, self._slots, self._memory_bytes = policy, slots, memory_bytes
        self._prefix: Prefix | None = None
        self.policy_version = 0

    def take_weights(self, policy_version: int) -> None:
        """See ``RolloutEngine``: it reads the policy's own weights, so there is nothing else to take."""
        self.policy_version = policy_version

    def check(self, requests: Sequence[RolloutRequest], settings: SamplingSettings) -> None:
        """Raises ModelError if a request cannot fit the model's context or the memory, before anything is computed."""
        check_lengths(self._policy, requests, settings)
        self._plan(requests, settings, num_prefix=0)

    def stream(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings
    ) -> Iterator[tuple[int, tuple[Rollout, ...]]]:
        """See ``RolloutEngine``."""
        if not requests:
            return
        check_lengths(self._policy, requests, settings)
        shared = common_prefix([request.prompt_ids for request in requests])
        # Always all that the prompts share, whatever is known already: so rounding does not depend on earlier calls.
        prefix_ids = requests[0].prompt_ids[:shared] if shared >= MIN_SHARED_PREFIX else ()
        plan = self._plan(requests, settings, len(prefix_ids))
        prefix = self._read_prefix(prefix_ids)
        may_be_forced = settings.thinking_budget is not None or any(request.forced_start for request in requests)
        batch = GroupBatch(self._policy, settings, plan, prefix, self.policy_version, may_be_forced=may_be_forced)
        for index, request in enumerate(requests):
            batch.add((0, index), request, settings)
        while batch.is_running:
            for (_, index), rollouts in batch.step():
                yield index, rollouts

    def _plan(self, requests: Sequence[RolloutRequest], settings: SamplingSettings, num_prefix: int) -> MemoryPlan:
        return plan_memory(
            self._policy,
            settings,
            num_prefix=num_prefix,
            prompt_tokens=max(len(request.prompt_ids) for request in requests) - num_prefix,
            num_prompts=len(requests),
            max_slots=self._slots,
            memory_bytes=self._memory_bytes,
        )

    def _read_prefix(self, prefix_ids: tuple[int, ...]) -> Prefix:
        """The common prefix; read anew only where it or the weights have changed."""
        wanted = prefix_ids, self._policy.weights_version()
        if self._prefix is None or (self._prefix.token_ids, self._prefix.weights_version) != wanted:
            self._prefix = read_prefix(self._policy, prefix_ids)
        return self._prefix
