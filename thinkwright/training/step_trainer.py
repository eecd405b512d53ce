"""The loop that fine-tuning, reward models and distillation share: steps, evaluations, checkpoints, resuming."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.config.sft import SFTRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import Ranks
from thinkwright.distributed.sharding import copy_weights, learner_of
from thinkwright.errors import EndpointError
from thinkwright.models.policy import Policy
from thinkwright.run_folder import append_event, append_jsonl, drop_later
from thinkwright.training.checkpoint import Progress, newest_checkpoint, read_tensors, save_checkpoint, tell_damage
from thinkwright.training.interrupt import CutShort, StopRequest
from thinkwright.training.memory_limit import MicroBatch
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.types import EvaluationResult, Metrics

StepRecipe = SFTRecipe | RewardModelRecipe | DistillRecipe
Measure = Callable[[int], EvaluationResult]
"""Answers the task's held-out questions with the policy as it stands, after so many updates."""


class StepTrainer(ABC):
    """Where a run stands, and how it goes on; what a step and an evaluation are, each kind says itself."""

    def __init__(self, recipe: StepRecipe, policy: Policy, folder: Path, started: float, ranks: Ranks) -> None:
        """``started`` is when the run began (``time.monotonic``), so that its wall time counts loading."""
        self.folder, self.ranks, self.settings, self._started = folder, ranks, recipe, started
        self._whole, self.learner = policy, learner_of(policy, ranks, recipe.lora, recipe.seed)
        self.optimizer = MasterOptimizer(
            self.learner.model, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.progress = Progress(next_step=0, policy_version=0, rollout_tokens=0, wall_seconds=0.0)
        self.micro_batch = MicroBatch(recipe.micro_batch_tokens, ranks)
        self.is_done = False
        """Whether all steps are made and the last evaluation, too."""
        self.cutting: Callable[[], AbstractContextManager[None]] = nullcontext
        """Around what changes nothing that a checkpoint holds, so that SIGTERM may cut it short."""

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """Steps of the whole run."""

    @abstractmethod
    def run_step(self, step: int) -> Metrics:
        """One step; leaves ``progress`` at the next one."""

    @abstractmethod
    def evaluate(self, display: Display) -> None:
        """Held-out figures, written to ``eval/step_<next step>.json``."""

    def learning_rate(self, step: int) -> float:
        """The rate at a step."""
        found = self.settings
        return cosine_rate(step, self.num_steps, found.lr, found.warmup_steps, found.final_lr_share)

    def resume(self, display: Display) -> None:
        """Take up the newest whole checkpoint, if any, and drop from the run folder what came after it."""
        found = newest_checkpoint(self.folder / "checkpoints", self.ranks)
        if found is not None:
            self.progress, checkpoint = found.progress, found.path
            self.optimizer.restore(lambda tensors: read_tensors(checkpoint, tensors, self.ranks))
            self.publish()
            self._started -= self.progress.wall_seconds
        if self.ranks.is_first:
            drop_later(self.folder, self.progress.next_step)
            tell_damage(self.folder, found, display)

    def publish(self) -> None:
        """Give the whole policy, which samples and is saved, the weights of the one that learns."""
        copy_weights(self.learner, self._whole)

    def wall_seconds(self) -> float:
        """Seconds the run has taken so far, resumed parts together."""
        return time.monotonic() - self._started

    def train(self, display: Display, stop: StopRequest) -> None:
        """Run the remaining steps. On a stop request: finish the step, leave a checkpoint, return early.

        Raises EndpointError, a checkpoint left, if a served model is down.
        """
        if self.ranks.size == 1:  # several ranks could not agree on where to leave off
            self.cutting = stop.cutting
        while self.progress.next_step < self.num_steps and not self.ranks.any(stop.is_requested):
            step = self.progress.next_step
            try:
                if step % self.settings.evaluation.every_steps == 0:
                    self._evaluate(display)
                with self.ranks.doing(f"step {step + 1}"):
                    metrics = self.run_step(step)
            except CutShort:
                break
            except EndpointError:
                # A served model is read before the step's first update, so what was learned until now is whole.
                if step > 0:
                    self.save()
                raise
            if self.ranks.is_first:
                append_jsonl(self.folder / "metrics.jsonl", {"step": step, **metrics})
                for text in self.micro_batch.told():
                    display.note(text)
                    append_event(self.folder, "memory", step=step, text=text)
            display.step(step, self.num_steps, metrics)
            if self.progress.next_step % self.settings.checkpoint_steps == 0:
                self.save()
        if self.progress.next_step > 0:
            self.save()
        if self.progress.next_step == self.num_steps:
            with suppress(CutShort):
                self._evaluate(display)
                self.is_done = True

    def _evaluate(self, display: Display) -> None:
        with self.ranks.doing(f"evaluation before step {self.progress.next_step + 1}"):
            self.publish()
            with self.cutting():
                self.evaluate(display)

    def save(self) -> None:
        """Leave a checkpoint of the step to run next."""
        self.progress = replace(self.progress, wall_seconds=self.wall_seconds())
        with self.ranks.doing(f"checkpoint before step {self.progress.next_step + 1}"):
            save_checkpoint(
                self.folder / "checkpoints",
                self.progress,
                self.optimizer.tensors(),
                self.ranks,
                self.settings.kept_checkpoints,
            )


def cosine_rate(step: int, num_steps: int, peak: float, warmup_steps: int, final_share: float) -> float:
    """Linear up to ``peak`` at step ``warmup_steps``, then along a half cosine to its final share at the last step."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1, num_steps - 1 - warmup_steps)
    return peak * (final_share + (1 - final_share) * (1 + math.cos(math.pi * done)) / 2)
