"""What a recipe may say of prompts that reward models judge (DeepSeek-R1, arXiv:2501.12948, section 2.3.4)."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.section import Section, Share
from thinkwright.config.tasks import TaskSettings

READS = {"helpful": "summary", "harmless": "response"}
"""What the reward model of a set is shown."""


def _none_if_false(value: Any) -> Any:
    """TOML has no word for nothing, so ``guard = false`` says it."""
    return None if value is False else value


class PreferenceSet(Section):
    """Prompts, and the reward model that judges what is written to them."""

    task: Annotated[TaskSettings, Field(discriminator="type")]
    """Where the prompts come from; its rule, if it has one, is not used."""
    model: str
    """Folder that a ``reward_model`` stage left."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of a step's prompts."""


class Guard(Section):
    """Stops the run when the preference reward rises while the policy unlearns to be right: the reward is being hacked.

    DeepSeek-R1 (section B.5) saw it when preference rewards were used for long: helpfulness up, Codeforces down.
    """

    max_accuracy_drop: Share = 0.03
    """The held-out accuracy may fall this far under its best since ``first_step``; falls within two standard errors
    never count."""
    window: PositiveInt = 5
    """Steps over which the preference reward is averaged, at the start and now."""


class General(Section):
    """Prompts judged by reward models, from some step on, beside those judged by rules."""

    first_step: int = Field(ge=0)
    """The first step that has such prompts; the last part of the stage is enough (R1: 400 of 1,700 steps)."""
    weight: PositiveFloat = 1.0
    """What the reward model's 0 to 1 is multiplied by, beside the weights of format and language in ``rewards``."""
    helpful: PreferenceSet | None = None
    """Judged by the summary alone."""
    harmless: PreferenceSet | None = None
    """Judged by the whole response."""
    guard: Annotated[Guard | None, BeforeValidator(_none_if_false)] = Guard()
    """``guard = false`` leaves it out: the run goes on whatever the rewards do."""

    def sets(self) -> dict[str, PreferenceSet]:
        """Those there are, by name."""
        found = {"helpful": self.helpful, "harmless": self.harmless}
        return {name: part for name, part in found.items() if part is not None}

    @model_validator(mode="after")
    def _has_sets(self) -> "General":
        if not self.sets():
            raise ValueError("has no effect without helpful or harmless; add [general.helpful] or [general.harmless]")
        if sum(part.share for part in self.sets().values()) > 1:
            raise ValueError("the shares of helpful and harmless come to more than 1; lower them")
        return self
