"""What a recipe of a reward model may say: DeepSeek-R1's helpful one (pairs) and its safety one (single responses)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.cosine_adamw import CosineAdamW
from thinkwright.config.mirror import MirrorSettings
from thinkwright.config.recipe import TemplateName, TrainingMachine
from thinkwright.config.section import Section


class RewardModelEvaluation(Section):
    """When the held-out pairs are looked at, besides before and after."""

    every_steps: PositiveInt = 50
    """Steps between evaluations."""


class RewardModelRecipe(CosineAdamW):
    """A language model with one number for a head, trained on what people preferred."""

    type: Literal["reward_model"]
    seed: int = 0
    """Seed of the head and of the order of the pairs."""
    machine: TrainingMachine = TrainingMachine()
    model: str
    """``tiny-base``, a Hugging Face folder, or a Hub name: the language model to start from."""
    data: tuple[str, ...] = Field(min_length=1)
    """Files of pairs (docs/reward_models.md)."""
    template: TemplateName = "think_summary"
    """How questions are put and responses written. It must have a form without a thought: ``think_summary`` has."""
    reads: Literal["summary", "response"]
    """``summary``: the answer alone (R1's helpful model). ``response``: thought and answer (R1's safety model)."""
    loss: Literal["pairwise", "pointwise"]
    """``pairwise``: the chosen one above the rejected one. ``pointwise``: chosen ones good, rejected ones bad."""
    epochs: PositiveInt = 1
    """How often every pair is learned from (R1: 1)."""
    batch_size: PositiveInt = 256
    """Pairs in one step (R1: 256)."""
    max_tokens: PositiveInt = 8192
    """Pairs with a longer response, prompt included, are left out and listed (R1: 8192)."""
    lr: PositiveFloat = 6e-6
    """Peak learning rate (R1: 6e-6)."""
    micro_batch_tokens: PositiveInt = 8192
    """Tokens in one forward and backward pass, one pair at least; changes memory, not the gradient."""
    balance_lengths: bool = False
    """Leave pairs out until the longer response is the chosen one as often as not (R1 balanced its pairs)."""
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """About this share of the questions is kept out of training and measures what was learned."""
    checkpoint_steps: PositiveInt = 50
    """Steps between checkpoints."""
    evaluation: RewardModelEvaluation = RewardModelEvaluation()
    mirror: MirrorSettings | None = None
    """Show the metrics in other tools, too."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "RewardModelRecipe":
        if twice := sorted({path for path in self.data if self.data.count(path) > 1}):
            raise ValueError(f"data: {twice[0]} stands twice; name it once, and raise epochs to learn pairs more often")
        if self.template != "think_summary":
            raise ValueError(f"template: {self.template} has no form without a thought; use think_summary")
        return self
