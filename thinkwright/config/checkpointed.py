"""What recipes that train may say of their checkpoints."""

from typing import Any, Self

from pydantic import PositiveInt, model_validator

from thinkwright.config.section import Section


class KeptCheckpoints(Section):
    """Which checkpoints stay when a newer one has been written. A run goes on from the newest whole one."""

    last: PositiveInt = 2
    """The newest so many; with more than one, a damaged one is not the end."""
    every_steps: PositiveInt | None = None
    """And those of every so many steps, for good; a multiple of ``checkpoint_steps``."""
    best: bool = False
    """And the one whose held-out evaluation was best: highest accuracy, or lowest loss where there is no task."""


class Checkpointed(Section):
    """A recipe whose run leaves checkpoints."""

    checkpoint_steps: PositiveInt = 20
    """Steps between checkpoints."""
    kept_checkpoints: KeptCheckpoints = KeptCheckpoints()

    @model_validator(mode="after")
    def _kept_have_effect(self) -> Self:
        kept, steps = self.kept_checkpoints, self.checkpoint_steps
        if kept.every_steps is not None and kept.every_steps % steps:
            raise ValueError(
                f"kept_checkpoints.every_steps = {kept.every_steps} is no multiple of checkpoint_steps = {steps}, so "
                "there is none to keep at most of these steps; change one of them"
            )
        evaluation: Any = getattr(self, "evaluation", None)
        between = getattr(evaluation, "every_steps", None)
        if kept.best and (between is None or between % steps):
            raise ValueError(
                "kept_checkpoints.best needs a checkpoint wherever the held-out questions are answered; make "
                f"evaluation.every_steps ({between if between is not None else 'none in this stage'}) a multiple of "
                f"checkpoint_steps = {steps}"
            )
        return self
