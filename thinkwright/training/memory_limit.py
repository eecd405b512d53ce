"""Out of memory in an update is no reason to lose a run: the same gradient comes from smaller micro-batches."""

from collections.abc import Callable
from typing import TypeVar

import torch

from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import TrainingError

Made = TypeVar("Made")

_SMALLEST = 64
"""Tokens under which a micro-batch is one completion or row in any case."""


class MicroBatch:
    """How many tokens go through one pass; fewer from the first time on that they do not fit."""

    def __init__(self, tokens: int, ranks: Ranks) -> None:
        self.tokens, self._ranks = tokens, ranks
        self.notes: list[str] = []
        """What a person should know and has not been told yet."""

    def within(self, make: Callable[[int], Made], forget: Callable[[], None]) -> Made:
        """What ``make`` gives for a micro-batch of so many tokens; ``forget`` undoes what a failed try has summed up.

        Raises TrainingError if not even one completion fits, or if there are several ranks, which could not agree to
        begin again in the middle of a pass.
        """
        while True:
            try:
                return make(self.tokens)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).strip().splitlines()[0] if str(error) else "out of memory"
            self._shrink(reason, forget)

    def _shrink(self, reason: str, forget: Callable[[], None]) -> None:
        forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._ranks.size > 1 or self.tokens <= _SMALLEST:
            least = "" if self._ranks.size > 1 else ", and not even a single completion fits"
            raise TrainingError(
                f"out of memory in an update with micro_batch_tokens = {self.tokens}{least} ({reason}); lower it, "
                "recompute activations, or train adapters ([lora])"
            )
        self.tokens = max(_SMALLEST, self.tokens // 2)
        self.notes.append(
            f"out of memory in an update ({reason}): its passes are made again with micro_batch_tokens = "
            f"{self.tokens}, which changes no gradient but that of entropy = high_entropy; set it in the recipe to "
            "save the time of finding out"
        )

    def told(self) -> list[str]:
        """The notes, once each."""
        notes, self.notes = self.notes, []
        return notes


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for, of a device or of this machine, that is not there."""
    told = ("allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in told)
