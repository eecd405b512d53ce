"""What a recipe may say of its curriculum: which prompts are worth their rollouts at the policy's present strength."""

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from thinkwright.config.section import Section, Share


class Curriculum(Section):
    """Keeps prompts whose running pass rate lies in a band; sets the others aside and looks at them again now and then.

    A group that is all right or all wrong has no advantage, so its rollouts teach nothing (DAPO, arXiv:2503.14476;
    ScaleRL, arXiv:2510.13786, drops prompts with a pass rate of 0.9 and more).
    """

    low: Share = 0.05
    """A prompt with a running pass rate under this, after ``min_visits`` groups, is too hard for now."""
    high: Share = 0.9
    """A prompt with a running pass rate of at least this, ``retire_after`` groups in a row, is solved and retired."""
    min_visits: PositiveInt = 2
    """Groups a prompt is given before it may be called too hard."""
    retire_after: PositiveInt = 2
    """Groups in a row that must be at ``high`` or more before a prompt retires."""
    smoothing: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Weight of the newest group in the running pass rate; the older ones share the rest."""
    review_share: Share = 0.02
    """Share of the prompts of all steps that are taken from those set aside, the longest unseen first."""

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> "Curriculum":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} leaves no band under high = {self.high}; set low below high")
        return self
