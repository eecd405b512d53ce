"""What an engine process does: samples the groups it is given, while weights come in between two tokens."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.group_batch import GroupBatch, Key
from thinkwright.rollout.memory import plan_memory
from thinkwright.rollout.prefix import read_prefix
from thinkwright.types import Rollout


@dataclass(frozen=True)
class Call:
    """Groups to sample, of one call of the engine's owner."""

    number: int
    requests: dict[int, RolloutRequest]
    """By their index within the call."""
    settings: SamplingSettings
    prefix_ids: tuple[int, ...]
    """Tokens that all prompts of the call begin with, those that went to other engines too."""


@dataclass(frozen=True)
class EngineStart:
    """What an engine process is made from."""

    model: str
    """Folder or Hub name; the weights in it are exchanged before the first token."""
    device: str
    dtype: str
    threads: int
    slots: int
    memory_bytes: int | None
    versions: dict[str, str]
    """Of packages, as the trainer has them."""


class EngineWorker:
    """The groups of all calls, in the order they came. All is called from one thread; ``step`` alone takes long."""

    def __init__(self, policy: Policy, slots: int, memory_bytes: int | None) -> None:
        """``slots``: completions that run at the same time, at most. ``memory_bytes``: for keys and values."""
        self._policy, self._slots, self._memory_bytes = policy, slots, memory_bytes
        self._version, self._longest = 0, 1
        self._waiting: deque[tuple[Key, RolloutRequest, SamplingSettings, tuple[int, ...]]] = deque()
        self._batch: GroupBatch | None = None

    @property
    def is_busy(self) -> bool:
        """Whether any group has not ended."""
        return bool(self._waiting) or (self._batch is not None and self._batch.is_running)

    def add(self, call: Call) -> None:
        """Queue groups."""
        for index, request in call.requests.items():
            self._waiting.append(((call.number, index), request, call.settings, call.prefix_ids))
            self._longest = max(self._longest, len(request.prompt_ids))

    def take_weights(self, write: Callable[[Policy], int]) -> None:
        """Let ``write`` exchange the policy's weights, in place; it says which version they are now.

        Completions that run go on with them.
        """
        self._version = write(self._policy)
        if self._batch is not None and self._batch.is_running:
            self._batch.weights_changed(self._version)

    def step(self) -> list[tuple[Key, tuple[Rollout, ...]]]:
        """One token for each running completion; the groups that are now complete. Raises ModelError if none fits."""
        if self._batch is None or not self._batch.is_running:
            self._batch = None  # so that its memory is free
            self._batch = self._new_batch()
        while self._waiting and self._batch.fits(self._waiting[0][1], self._waiting[0][2]):
            key, request, settings, _ = self._waiting.popleft()
            self._batch.add(key, request, settings)
        return self._batch.step()

    def _new_batch(self) -> GroupBatch:
        """For groups like the first that waits. Another kind, or a longer prompt, will wait for its end."""
        _, first, settings, prefix_ids = self._waiting[0]
        alike = [entry[1] for entry in self._waiting if entry[2] == settings]
        plan = plan_memory(
            self._policy,
            settings,
            num_prefix=len(prefix_ids),
            prompt_tokens=self._longest,
            # So many are read and not complete at most: those of the rows that run, and as many that begin to.
            num_prompts=2 * -(-self._slots // settings.group_size),
            max_slots=self._slots,
            memory_bytes=self._memory_bytes,
        )
        may_be_forced = settings.thinking_budget is not None or any(request.forced_start for request in alike)
        prefix = read_prefix(self._policy, prefix_ids)
        assert prefix.length_in(first.prompt_ids) == len(prefix_ids), "a call's prefix begins each of its prompts"
        return GroupBatch(self._policy, settings, plan, prefix, self._version, may_be_forced=may_be_forced)
