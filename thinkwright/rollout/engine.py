"""What an engine that samples completions must do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from thinkwright.types import Rollout


@dataclass(frozen=True)
class RolloutRequest:
    """One prompt to be completed ``group_size`` times."""

    prompt_id: str
    """Part of the seed; unique within a call."""
    prompt_ids: tuple[int, ...]


@dataclass(frozen=True)
class SamplingSettings:
    """How the completions of one call are drawn."""

    group_size: int
    max_tokens: int
    temperature: float
    seed: int
    step: int


class RolloutEngine(Protocol):
    """Samples groups of completions from the current policy."""

    def generate(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings, policy_version: int
    ) -> list[tuple[Rollout, ...]]:
        """The group of each request, in order. Raises ModelError if a request cannot fit the model's context."""
        ...
