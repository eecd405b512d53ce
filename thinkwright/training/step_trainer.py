"""What fine-tuning, reward models and distillation have in common: an optimizer whose rate falls along a cosine."""

import math
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.config.sft import SFTRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import Ranks
from thinkwright.distributed.sharding import copy_weights, learner_of
from thinkwright.models.policy import Policy
from thinkwright.training.loop import Read, TrainingLoop
from thinkwright.training.memory_limit import MicroBatch
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.types import EvaluationResult, Metrics

StepRecipe = SFTRecipe | RewardModelRecipe | DistillRecipe
Measure = Callable[[], EvaluationResult]
"""Answers the task's held-out questions with the policy as it stands."""


class StepTrainer(TrainingLoop[Metrics]):
    """A loop whose steps give figures alone."""

    def __init__(self, recipe: StepRecipe, policy: Policy, folder: Path, started: float, ranks: Ranks) -> None:
        """``started``: see ``TrainingLoop``."""
        super().__init__(recipe, folder, started, ranks)
        self.settings = recipe
        self._whole, self.learner = policy, learner_of(policy, ranks, recipe.lora, recipe.seed)
        self.optimizer = MasterOptimizer(
            self.learner.model, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.micro_batch = MicroBatch(recipe.micro_batch_tokens, ranks)

    def learning_rate(self, step: int) -> float:
        """The rate at a step."""
        found = self.settings
        return cosine_rate(step, self.num_steps, found.lr, found.warmup_steps, found.final_lr_share)

    def evaluates_before(self, step: int) -> bool:
        """See ``TrainingLoop``."""
        return step % self.settings.evaluation.every_steps == 0

    def record(self, step: int, made: Metrics, display: Display) -> None:
        """See ``TrainingLoop``."""
        self.record_metrics(step, made, self.micro_batch.told(), display)

    def publish(self) -> None:
        """See ``TrainingLoop``: of several ranks, or of adapters, the whole policy is another object."""
        copy_weights(self.learner, self._whole)

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainingLoop``."""
        return self.optimizer.tensors()

    def restore(self, read: Read) -> None:
        """See ``TrainingLoop``."""
        self.optimizer.restore(read)


def cosine_rate(step: int, num_steps: int, peak: float, warmup_steps: int, final_share: float) -> float:
    """Linear up to ``peak`` at step ``warmup_steps``, then along a half cosine to its final share at the last step."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1, num_steps - 1 - warmup_steps)
    return peak * (final_share + (1 - final_share) * (1 + math.cos(math.pi * done)) / 2)
