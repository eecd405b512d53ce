"""What is done with a trainer: it trains to its end, or ``plan`` measures a few of its steps."""

from collections.abc import Callable
from typing import Any

from thinkwright.display import Display
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.loop import TrainingLoop
from thinkwright.training.rl import RLTrainer
from thinkwright.training.step_trainer import StepTrainer

Trainer = RLTrainer | StepTrainer
Train = Callable[[Trainer, Display, StopRequest], None]


def train_to_end(trainer: TrainingLoop[Any], display: Display, stop: StopRequest) -> None:
    """Run the steps that remain."""
    trainer.train(display, stop)
