"""The loop that all trainers share: steps, evaluations, checkpoints, resuming."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from thinkwright.config.checkpointed import Checkpointed
from thinkwright.display import Display
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import EndpointError, GraderError
from thinkwright.run_folder import append_event, append_jsonl, drop_later
from thinkwright.training.checkpoint import Progress, newest_checkpoint, read_tensors, save_checkpoint, tell_damage
from thinkwright.training.heap import Heap
from thinkwright.training.interrupt import CutShort, StopRequest
from thinkwright.types import Metrics

Made = TypeVar("Made")
"""What a step leaves to be recorded."""
Read = Callable[[dict[str, Tensor]], None]
"""Fills tensors from a checkpoint, in place, by name."""


class TrainingLoop(ABC, Generic[Made]):
    """Where a run stands, and how it goes on; what a step and an evaluation are, each kind says itself."""

    def __init__(self, checkpoints: Checkpointed, folder: Path, started: float, ranks: Ranks) -> None:
        """``checkpoints``: the recipe, for what it says of them. ``started`` is when the run began
        (``time.monotonic``), so that its wall time counts loading."""
        self.folder, self.ranks = folder, ranks
        self._checkpoints, self._started = checkpoints, started
        self.progress = Progress(next_step=0, policy_version=0, rollout_tokens=0, wall_seconds=0.0)
        self._heap = Heap()
        self.is_done = False
        """Whether all steps are made and the last evaluation, too."""
        self.cutting: Callable[[], AbstractContextManager[None]] = nullcontext
        """Around what changes nothing that a checkpoint holds, so that SIGTERM may cut it short."""

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """Steps of the whole run."""

    @abstractmethod
    def run_step(self, step: int) -> Made:
        """One step; leaves ``progress`` at the next one.

        An EndpointError or GraderError before ``progress`` has changed leaves what was learned until then whole.
        """

    @abstractmethod
    def record(self, step: int, made: Made, display: Display) -> None:
        """Leave in the run folder what a step did, and say it; only the first rank does."""

    @abstractmethod
    def evaluates_before(self, step: int) -> bool:
        """Whether an evaluation is due."""

    @abstractmethod
    def evaluate(self, display: Display) -> None:
        """Held-out figures, written to ``eval/step_<next step>.json``."""

    @abstractmethod
    def publish(self) -> None:
        """Give what samples, and what is saved, the weights of the policy that learns."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold, by name."""

    @abstractmethod
    def restore(self, read: Read) -> None:
        """Take up a saved state, of the step that ``progress`` says."""

    def resume(self, display: Display) -> None:
        """Take up the newest whole checkpoint, if any, and drop from the run folder what came after it."""
        found = newest_checkpoint(self.folder / "checkpoints", self.ranks)
        if found is not None:
            self.progress, checkpoint = found.progress, found.path
            self.restore(lambda tensors: read_tensors(checkpoint, tensors, self.ranks))
            self._started -= self.progress.wall_seconds
        if self.ranks.is_first:
            drop_later(self.folder, self.progress.next_step)
            tell_damage(self.folder, found, display)

    def wall_seconds(self) -> float:
        """Seconds the run has taken so far, resumed parts together."""
        return time.monotonic() - self._started

    def train(self, display: Display, stop: StopRequest) -> None:
        """Run the remaining steps. On a stop request finish the step, or what of it must be, leave a checkpoint, and
        return early.

        Raises what a step raises. Before EndpointError and GraderError a single process leaves a checkpoint, if the
        step has changed nothing.
        """
        if self.ranks.size == 1:  # several ranks could not agree on where to leave off
            self.cutting = stop.cutting
        self.publish()
        while self.progress.next_step < self.num_steps and not self.ranks.any(stop.is_requested):
            step, before = self.progress.next_step, self.progress
            try:
                if self.evaluates_before(step):
                    self.measure(display)
                with self.ranks.doing(f"step {step + 1}"):
                    made = self.run_step(step)
            except CutShort:
                break
            except (EndpointError, GraderError):
                # Several ranks may not all be here; and a step that was learned from and not recorded is made again.
                if self.ranks.size == 1 and step > 0 and self.progress == before:
                    self.save()
                raise
            if self.ranks.is_first:
                self.record(step, made, display)
            self._heap.tidy()
            if self.progress.next_step % self._checkpoints.checkpoint_steps == 0:
                self.save()
        if self.progress.next_step > 0:
            self.save()
        if self.progress.next_step == self.num_steps:
            with suppress(CutShort):
                self.measure(display)
                self.is_done = True

    def measure(self, display: Display) -> None:
        """Evaluate the policy as it stands."""
        with self.ranks.doing(f"evaluation before step {self.progress.next_step + 1}"):
            self.publish()
            with self.cutting():
                self.evaluate(display)

    def record_metrics(self, step: int, metrics: Metrics, notes: Sequence[str], display: Display) -> None:
        """What every kind leaves of a step; ``notes`` say where memory was short."""
        append_jsonl(self.folder / "metrics.jsonl", {"step": step, **metrics})
        for text in notes:
            display.note(text)
            append_event(self.folder, "memory", step=step, text=text)
        display.step(step, self.num_steps, metrics)

    def save(self) -> None:
        """Leave a checkpoint of the step to run next."""
        self.progress = replace(self.progress, wall_seconds=self.wall_seconds())
        kept = self._checkpoints.kept_checkpoints
        with self.ranks.doing(f"checkpoint before step {self.progress.next_step + 1}"):
            save_checkpoint(self.folder / "checkpoints", self.progress, self.tensors(), self.ranks, kept)
        self._heap.give_back()
