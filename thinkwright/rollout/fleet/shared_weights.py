"""A policy's weights in memory that processes of one machine share.

Two copies take turns. The writer writes the one that is not the newest, and never waits; a reader sees after its copy
whether the writer has come round meanwhile, and copies again. No lock, so no process that dies can leave one held.
"""

import math
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import Tensor

from thinkwright.models.policy import Policy

_ALIGNMENT = 64


class SharedWeights:
    """Passed to a process when it is started. Each copy is one block of memory, for blocks are passed as open files, of
    which few can be."""

    def __init__(self, policy: Policy) -> None:
        """Room for the policy's weights, twice; it holds nothing yet."""
        self._places: dict[str, tuple[int, torch.Size, torch.dtype]] = {}
        size = 0
        for name, param in policy.model.named_parameters():
            self._places[name] = size, param.shape, param.dtype
            size += math.ceil(param.numel() * param.element_size() / _ALIGNMENT) * _ALIGNMENT
        self._copies = [torch.empty(size, dtype=torch.uint8).share_memory_() for _ in range(2)]
        context: Any = mp.get_context("forkserver")
        # Counts of writes, begun and ended, and the version that each copy holds.
        self._counts = context.Array("q", 2, lock=False)
        self._versions = context.Array("q", 2, lock=False)

    @torch.no_grad()
    def write(self, policy: Policy, policy_version: int) -> None:
        """Offer the policy's weights. Readers are to be told afterwards."""
        number = self._counts[1] + 1
        self._counts[0] = number
        for name, param in policy.model.named_parameters():
            self._view(number, name).copy_(param)
        self._versions[number % 2] = policy_version
        self._counts[1] = number

    @torch.no_grad()
    def read_into(self, policy: Policy) -> int:
        """Give the policy the newest weights; returns their version."""
        while True:
            number = self._counts[1]
            assert number > 0, "weights are written before they are read"
            for name, param in policy.model.named_parameters():
                param.copy_(self._view(number, name))
            version = self._versions[number % 2]
            if self._counts[0] < number + 2:
                return version

    def _view(self, number: int, name: str) -> Tensor:
        start, shape, dtype = self._places[name]
        flat = self._copies[number % 2][start : start + shape.numel() * dtype.itemsize]
        return flat.view(dtype).view(shape)
