"""Scores groups beside their sampling: a group goes to the rewards as soon as it is complete."""

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from thinkwright.errors import GraderError
from thinkwright.rewards.score import SampledGroup
from thinkwright.types import RolloutGroup

DEADLINE_SECONDS = 600.0
"""The longest wait for the last groups once sampling is done; each grader has a far shorter deadline of its own."""


class BackgroundScorer:
    """A thread that scores the groups it is given, all that wait together. For use in a ``with`` statement."""

    def __init__(self, score: Callable[[Sequence[SampledGroup]], list[RolloutGroup]]) -> None:
        self._score = score
        self._waiting: queue.SimpleQueue[tuple[int, SampledGroup] | None] = queue.SimpleQueue()
        self._scored: dict[int, RolloutGroup] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)

    def __enter__(self) -> "BackgroundScorer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiting.put(None)

    def submit(self, index: int, group: SampledGroup) -> None:
        """Hand over a complete group. Raises what an earlier one's scoring raised."""
        if self._error is not None:
            raise self._error
        self._waiting.put((index, group))

    def results(self) -> list[RolloutGroup]:
        """All groups by index, once the last is scored. Raises what scoring raised; GraderError past the deadline."""
        self._waiting.put(None)
        self._thread.join(DEADLINE_SECONDS)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            raise GraderError(f"the rewards of the last groups did not come within {DEADLINE_SECONDS:.0f} s")
        return [group for _, group in sorted(self._scored.items())]

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                indices, groups = zip(*batch, strict=True)
                self._scored.update(zip(indices, self._score(groups), strict=True))
        except BaseException as error:  # handed to whoever submits or waits
            self._error = error

    def _next_batch(self) -> list[tuple[int, SampledGroup]] | None:
        """Everything that waits, at least one group; None when no more will come."""
        if (first := self._waiting.get()) is None:
            return None
        batch = [first]
        while not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                self._waiting.put(None)  # the end, for the next call
                break
            batch.append(following)
        return batch
