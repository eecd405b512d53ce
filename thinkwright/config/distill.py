"""What a recipe of on-policy distillation may say: a student writes, a teacher tells it how likely each token was."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.cosine_adamw import CosineAdamW
from thinkwright.config.endpoint import Endpoint
from thinkwright.config.mirror import MirrorSettings
from thinkwright.config.recipe import Evaluation, TemplateName, TrainingMachine, TrainingRollout
from thinkwright.config.tasks import TaskSettings
from thinkwright.types import Isolation

_MEASURING = ("evaluation", "workers", "program_isolation")


class DistillRollout(TrainingRollout):
    """What the student writes in one step. ``temperature`` changes what it writes, not what is compared."""

    group_size: PositiveInt = 4
    """Completions per prompt. Nothing is compared within a group, so 1 will do; more cost less than more prompts."""


class DistillRecipe(CosineAdamW):
    """On-policy distillation: the student's own completions, reverse KL to a teacher at every token (arXiv:2306.13649,
    arXiv:2306.08543)."""

    type: Literal["distill"]
    seed: int = 0
    """Seed of prompts and sampling."""
    machine: TrainingMachine = TrainingMachine()
    model: str
    """The student: ``tiny-base`` (shipped with the package), a Hugging Face folder, or a Hub name."""
    teacher: str | None = None
    """A model of the same tokenizer, loaded beside the student: named as ``model`` is."""
    teacher_endpoint: Endpoint | None = None
    """In place of ``teacher``: one that vLLM serves, asked for the log-probabilities of the student's tokens."""
    task: Annotated[TaskSettings, Field(discriminator="type")]
    """Prompts to complete. Only a task with a rule has held-out questions, which are answered to measure accuracy."""
    template: TemplateName = "think_summary"
    """How the student is asked; the teacher reads the same text."""
    rollout: DistillRollout = DistillRollout()
    steps: PositiveInt
    """Rounds of sampling and learning."""
    mini_batches: PositiveInt = 1
    """Updates made from one step's completions, each from its own part of the prompts."""
    lr: PositiveFloat = 1e-5
    """Peak learning rate."""
    micro_batch_tokens: PositiveInt = 4096
    """Tokens of prompts and completions in one forward and backward pass, one completion at least; changes memory, not
    the gradient."""
    recompute_activations: bool = False
    """Keep only the layers' inputs and compute the layers again in the backward pass: less memory, more time."""
    evaluation: Evaluation = Evaluation()
    workers: PositiveInt = 2
    """Processes that grade answers to held-out questions."""
    program_isolation: Isolation = "bubblewrap"
    """How programs that the student wrote as answers are kept from the machine."""
    mirror: MirrorSettings | None = None
    """Show the metrics in other tools, too."""

    @model_validator(mode="after")
    def _has_one_teacher(self) -> "DistillRecipe":
        if self.teacher is None and self.teacher_endpoint is None:
            raise ValueError(
                "no teacher: name one with teacher (a folder or Hub name), or a served one with [teacher_endpoint]"
            )
        if self.teacher_endpoint is None:
            return self
        if self.teacher is not None:
            raise ValueError("teacher and teacher_endpoint are both given; keep the one to learn from")
        if idle := sorted({"temperature", "max_tokens"} & self.teacher_endpoint.model_fields_set):
            keys = ", ".join(f"teacher_endpoint.{key}" for key in idle)
            raise ValueError(f"{keys}: no effect, since the teacher writes nothing; remove it")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> "DistillRecipe":
        if self.task.type == "prompts" and (idle := [key for key in _MEASURING if key in self.model_fields_set]):
            raise ValueError(
                f"{', '.join(idle)}: no effect on a prompts task, which has no held-out answers; remove it"
            )
        if self.rollout.vllm is not None and self.teacher_endpoint is not None and self.rollout.temperature != 1:
            raise ValueError(
                "rollout.temperature must be 1 where vLLM samples and the teacher is served: vLLM tells only the "
                "tempered log-probabilities, and the loss needs the student's own"
            )
        if self.rollout.prompts_per_step % self.mini_batches:
            raise ValueError("rollout.prompts_per_step must be a multiple of mini_batches")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps: {self.warmup_steps} leaves nothing of the {self.steps} steps; lower it")
        return self
