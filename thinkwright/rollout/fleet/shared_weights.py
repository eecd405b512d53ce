"""A policy's weights in memory that processes of one machine share.

Two copies take turns. The writer writes the one that is not the newest, and never waits; a reader sees after its copy
whether the writer has come round meanwhile, and copies again. No lock, so no process that dies can leave one held.
"""

from typing import Any

import torch
import torch.multiprocessing as mp

from thinkwright.models.policy import Policy


class SharedWeights:
    """Passed to a process when it is started."""

    def __init__(self, policy: Policy) -> None:
        """Copies of the size of the policy's weights; they hold nothing yet."""
        self._copies = [
            {
                name: torch.empty_like(param, device="cpu", requires_grad=False).share_memory_()
                for name, param in policy.model.named_parameters()
            }
            for _ in range(2)
        ]
        context: Any = mp.get_context("forkserver")
        # Counts of writes, begun and ended, and the version that each copy holds.
        self._begun, self._ended = context.Value("q", 0), context.Value("q", 0)
        self._versions = context.Array("q", 2)

    @torch.no_grad()
    def write(self, policy: Policy, policy_version: int) -> None:
        """Offer the policy's weights."""
        number = self._ended.value + 1
        self._begun.value = number
        for name, param in policy.model.named_parameters():
            self._copies[number % 2][name].copy_(param)
        self._versions[number % 2] = policy_version
        self._ended.value = number

    @torch.no_grad()
    def read_into(self, policy: Policy) -> int:
        """Give the policy the newest weights; returns their version."""
        while True:
            number = self._ended.value
            assert number > 0, "weights are written before they are read"
            for name, param in policy.model.named_parameters():
                param.copy_(self._copies[number % 2][name])
            version = self._versions[number % 2]
            if self._begun.value < number + 2:
                return version
