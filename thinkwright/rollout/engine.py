"""What an engine that samples completions must do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from thinkwright.models.policy import Policy
from thinkwright.types import Rollout


@dataclass(frozen=True)
class RolloutRequest:
    """One prompt to be completed ``group_size`` times."""

    prompt_id: str
    """Part of the seed; unique within a call."""
    prompt_ids: tuple[int, ...]
    forced_start: tuple[int, ...] = ()
    """Tokens that every completion begins with; they are not sampled and count as part of it."""
    max_tokens: tuple[int, ...] | None = None
    """A limit for each member, at most the settings'; None: the settings' for all."""


@dataclass(frozen=True)
class ThinkingBudget:
    """Ends a thought that takes too long (budget forcing, arXiv:2501.19393)."""

    max_tokens: int
    """Tokens a completion may take, its forced start included, before ``end`` must have come."""
    end: str
    """Text that shows that the thought has ended, such as ``</think>``."""
    forced: tuple[int, ...]
    """Tokens that follow at once if it has not; sampling goes on after them."""
    start: str = ""
    """Text that shows that a thought has begun; a completion without it is left alone. Empty: it has in any case."""


@dataclass(frozen=True)
class SamplingSettings:
    """How the completions of one call are drawn."""

    group_size: int
    max_tokens: int
    temperature: float
    seed: int
    step: int
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    top_k: int = 0
    """Draw from so many likeliest tokens; 0 for all."""
    min_p: float = 0.0
    """Draw only tokens at least this times as likely as the likeliest."""
    stop: tuple[str, ...] = ()
    """A completion ends as soon as its text holds one of these; the text keeps it."""
    thinking_budget: ThinkingBudget | None = None
    ignore_end: bool = False
    """Do not stop at end tokens: every completion reaches its limit (for measurements)."""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be sampled from."""
        checks = {
            "group_size, max_tokens at least 1": self.group_size >= 1 and self.max_tokens >= 1,
            "temperature above 0": self.temperature > 0,
            "top_p above 0, at most 1": 0 < self.top_p <= 1,
            "top_k at least 0 (0 for all tokens)": self.top_k >= 0,
            "min_p from 0 to 1": 0 <= self.min_p <= 1,
            "stop texts that are not empty": all(self.stop),
            "thinking_budget.max_tokens at least 1": not self.thinking_budget or self.thinking_budget.max_tokens > 0,
        }
        if broken := [name for name, holds in checks.items() if not holds]:
            raise ValueError(f"sampling needs {'; '.join(broken)}; got {self}")

    @property
    def is_cut(self) -> bool:
        """Whether some tokens cannot be drawn."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


class RolloutEngine(Protocol):
    """Samples groups of completions from the current policy."""

    policy_version: int
    """Of the weights last taken: updates the policy had received. What begins from now on is drawn by them."""

    def use_adapters(self, learner: Policy, base: str) -> None:
        """The policy learns by the adapters of this one, beside the weights of the model ``base``. To be told before
        the first weights; engines that can then take the adapters alone."""

    def take_weights(self, policy_version: int) -> None:
        """From now on sample from the policy's weights as they are now: to be called before the first sampling, and
        after every change. Raises EndpointError if a server will not have them."""
        ...

    def stream(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings
    ) -> Iterator[tuple[int, tuple[Rollout, ...]]]:
        """Groups as they are complete, each with the index of its request. Raises ModelError if one cannot fit."""
        ...

    def generate(self, requests: Sequence[RolloutRequest], settings: SamplingSettings) -> list[tuple[Rollout, ...]]:
        """The group of each request, in order. Raises as ``stream`` does."""
        groups = dict(self.stream(requests, settings))
        return [groups[index] for index in range(len(requests))]
