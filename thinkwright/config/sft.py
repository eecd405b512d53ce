"""What a recipe of supervised fine-tuning may say: DeepSeek-R1's cold start, its second SFT and its distillation."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.cosine_adamw import CosineAdamW
from thinkwright.config.mirror import MirrorSettings
from thinkwright.config.recipe import Evaluation, TemplateName, TrainingMachine
from thinkwright.config.tasks import RuledTask
from thinkwright.types import Isolation


class SFTEvaluation(Evaluation):
    """What is measured before, after and every few steps: the loss of held-out rows, and ``task`` if there is one."""

    max_response_tokens: PositiveInt = 192
    """A completion for the task is cut here and counts as truncated."""


class SFTRecipe(CosineAdamW):
    """Supervised fine-tuning on thoughts and answers (DeepSeek-R1, arXiv:2501.12948, sections 2.3 and 2.4)."""

    type: Literal["sft"]
    seed: int = 0
    """Seed of the order of the rows."""
    machine: TrainingMachine = TrainingMachine()
    model: str
    """``tiny-base`` (shipped with the package), a Hugging Face folder, or a Hub name."""
    data: tuple[str, ...] = Field(min_length=1)
    """Files of rows with question, thought and answer: JSON lines, plain or .gz (docs/sft.md)."""
    template: TemplateName = "think_summary"
    """How questions are put and replies written: the same as in RL, evaluation and serving. Only ``think_summary`` has
    a form for rows without a thought."""
    epochs: PositiveInt = 2
    """How often every row is learned from (R1: 2 to 3)."""
    batch_size: PositiveInt = 128
    """Rows in one step (R1: 128; its distillation: 64). The last step of an epoch has what is left."""
    max_tokens: PositiveInt = 32768
    """Rows with more tokens, prompt and end token included, are left out and listed (R1: 32768)."""
    lr: PositiveFloat = 5e-5
    """Peak learning rate (R1: 5e-5; its distillation: 2e-5 for 70B to 1e-4 for 1.5B)."""
    micro_batch_tokens: PositiveInt = 8192
    """Tokens in one forward and backward pass, one row at least; changes memory, not the gradient."""
    recompute_activations: bool = False
    """Keep only the layers' inputs and compute the layers again in the backward pass: less memory, more time."""
    checkpoint_steps: PositiveInt = 50
    """Steps between checkpoints."""
    held_out_share: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """About this share of the questions is kept out of training, with all their rows, and their loss is measured."""
    task: Annotated[RuledTask, Field(discriminator="type")] | None = None
    """Also answer this task's held-out questions. Rows that ask one of them are left out."""
    program_isolation: Isolation = "bubblewrap"
    """How programs that the model writes in answer to ``task`` are kept from the machine."""
    evaluation: SFTEvaluation = SFTEvaluation()
    mirror: MirrorSettings | None = None
    """Show the metrics in other tools, too."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "SFTRecipe":
        given = self.evaluation.model_fields_set
        if self.task is None and (idle := sorted(given - {"every_steps"})):
            keys = ", ".join(f"evaluation.{key}" for key in idle)
            raise ValueError(f"{keys}: no effect without task, whose questions are answered; remove it or add [task]")
        if self.task is None and "program_isolation" in self.model_fields_set:
            raise ValueError("program_isolation: no effect without task, whose programs are run; remove it")
        if self.task is None and not self.held_out_share and "every_steps" in given:
            raise ValueError(
                "evaluation.every_steps: no effect without task and with held_out_share = 0: there is nothing to "
                "measure; remove it, add [task], or raise held_out_share"
            )
        if twice := sorted({path for path in self.data if self.data.count(path) > 1}):
            raise ValueError(f"data: {twice[0]} stands twice; name it once, and raise epochs to learn rows more often")
        return self
