"""What a recipe may say of an evaluation of several models side by side: the table of a pipeline."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from thinkwright.config.recipe import Machine, Measurement, TemplateName
from thinkwright.config.section import Section
from thinkwright.config.tasks import RequestsTask, RuledTask
from thinkwright.types import Isolation


class EvaluatedModel(Section):
    """One column of the table."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][\w -]*$")]
    """How the table calls it."""
    model: str
    """``tiny-base``, a Hugging Face folder, or a Hub name."""
    template: TemplateName = "think_summary"
    """How it was trained to be asked."""


class EvaluateRecipe(Section):
    """Every model answers the same held-out questions with the same random numbers."""

    type: Literal["evaluate"]
    seed: int = 0
    """Without effect on the figures, which every run draws alike; a pipeline sets it for all stages."""
    machine: Machine = Machine()
    models: tuple[EvaluatedModel, ...] = Field(min_length=1)
    """In the order of the table's columns."""
    task: Annotated[RuledTask, Field(discriminator="type")]
    """Questions with a rule: accuracy, language, readability."""
    requests: RequestsTask | None = None
    """Requests to an assistant: helpfulness, harmlessness, thoughts where none is needed."""
    baseline: str | None = None
    """The model that the others' answers to ``requests`` are held against, for a win rate."""
    max_response_tokens: PositiveInt = 192
    """A completion is cut here and counts as truncated."""
    slots: PositiveInt = 512
    """Completions sampled at the same time, at most; changes speed and memory, not the result."""
    evaluation: Measurement = Measurement()
    workers: PositiveInt = 2
    """Processes that grade."""
    program_isolation: Isolation = "bubblewrap"
    """How programs that the models write in answer to ``task`` are kept from the machine."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "EvaluateRecipe":
        names = [model.name for model in self.models]
        if len({name.replace(" ", "_") for name in names}) < len(names):
            raise ValueError("models: two have the same name, or differ in a space alone; give each its own")
        if self.baseline is not None and self.requests is None:
            raise ValueError("baseline has no effect without requests; remove it or add [requests]")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline: {self.baseline!r} is none of the models {', '.join(names)}")
        if self.baseline is not None and self.requests is not None and set(self.requests.families) == {"harmful"}:
            raise ValueError("baseline has no effect on harmful requests alone; remove it or add families to requests")
        return self
