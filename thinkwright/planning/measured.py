"""What was measured of a recipe's steps, and how."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thinkwright.distributed.ranks import Ranks
from thinkwright.models.policy import Policy
from thinkwright.planning.meter import capacity_bytes
from thinkwright.rollout.memory import key_value_bytes

_MIN_REPEATS, _MAX_REPEATS, _SECONDS = 2, 10, 25.0


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes of the first rank; the others are like it."""

    device: str
    itemsize: int
    opening: float
    """Until the first step: loading, checks, the gate."""
    evaluation: float
    """Of the policy as it is."""
    evaluation_later: float
    """Of the policy as it will write, mean over the run."""
    saving: float
    """A checkpoint."""
    sampling: float
    """Of the planned step; 0 where nothing is sampled."""
    update: float
    """Of the planned step; where nothing is sampled, of a mean one."""
    other: float
    """Of a step beside both: late scores, the teacher, files."""
    num_steps: float
    """Of the whole run, each like the measured one."""
    response_tokens: float
    """Of a planned completion, mean; 0 where nothing is sampled."""
    response_tokens_now: float
    learned_share: float
    sampled_tokens: int
    """Of a planned step."""
    learned_tokens: int
    """That an update's passes read, of a planned step."""
    standing_bytes: int
    """Between two steps."""
    sampling_peak: int
    update_peak: int
    process_peak: int
    """The most at any time."""
    capacity: int
    micro_tokens: int
    """The largest micro-batch that was computed."""
    cache_token_bytes: int


def timed(make: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    start = time.monotonic()
    make()
    return time.monotonic() - start


def repeated(make: Callable[[], float], ranks: Ranks, most: int = _MAX_REPEATS) -> list[float]:
    """Seconds of each, the same number on every rank."""
    found: list[float] = []
    while len(found) < most and ranks.first(len(found) < _MIN_REPEATS or sum(found) < _SECONDS):
        found.append(make())
    return found


def memory_measured(
    policy: Policy, standing: int, first_peak: int, sampling_peak: int, update_peak: int
) -> dict[str, int]:
    """The fields of ``Measured`` that say bytes."""
    return {
        "standing_bytes": standing,
        "sampling_peak": sampling_peak,
        "update_peak": update_peak,
        "process_peak": max(first_peak, sampling_peak, update_peak),
        "capacity": capacity_bytes(policy.device),
        "cache_token_bytes": key_value_bytes(policy),
    }
