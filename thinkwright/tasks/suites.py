"""The questions of an evaluation suite: the tiny world's held-out ones, or the held-out rows of a named set."""

from dataclasses import dataclass, replace
from random import Random
from typing import cast

from thinkwright.config.problems import did_you_mean
from thinkwright.config.suites import SUITES, TINY_WORLD
from thinkwright.config.tasks import SetName, TinyWorldTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.named import read_set
from thinkwright.tasks.part import check_not_empty, sample_held_out
from thinkwright.tasks.row_prompts import to_prompts
from thinkwright.tasks.tiny_world_prompts import load_tiny_world
from thinkwright.types import Prompt

_SAMPLE_SEED = "questions of a suite"


@dataclass(frozen=True)
class SuiteQuestions:
    """What a suite asks, in a template."""

    prompts: tuple[Prompt, ...]
    note: str
    """One line for a person: how many, and what was left out."""


def check_suite(name: str) -> None:
    """Raises RecipeError for a suite that there is not."""
    if name not in SUITES:
        raise RecipeError(
            f"--suite: there is no {name!r}{did_you_mean(name, SUITES) or ';'} there are {', '.join(sorted(SUITES))}"
        )


def load_suite(name: str, template: str, data: str | None = None, max_questions: int | None = None) -> SuiteQuestions:
    """All usable questions, or a fixed sample of ``max_questions``.

    ``data``: folder of the sets, or ``hub`` (see ``NamedTask.data``). Raises RecipeError as ``check_suite``, DataError
    for rows that cannot be read or if none is left.
    """
    check_suite(name)
    if name == TINY_WORLD:
        prompts = load_tiny_world(TinyWorldTask(type="tiny_world"), template).held_out
        return SuiteQuestions(_some(prompts, max_questions), f"{name}: {len(prompts)} held-out questions")
    part = read_set(cast("SetName", name), "held_out", data)
    check_not_empty(part, f"give a folder that holds {name} with --data or the variable THINKWRIGHT_DATA")
    if max_questions is not None:
        sample_held_out(part, max_questions)
    return SuiteQuestions(to_prompts(part.examples, template), part.note(name))


def put_in(prompts: tuple[Prompt, ...], texts: list[str], template: str) -> tuple[Prompt, ...]:
    """The same questions with other prompt texts, whose replies the template of that name tells apart."""
    if len({*texts}) < len({prompt.question for prompt in prompts}):
        raise DataError("the model's chat template writes several questions as one text; give another --template")
    return tuple(replace(prompt, text=text, template=template) for prompt, text in zip(prompts, texts, strict=True))


def _some(prompts: tuple[Prompt, ...], count: int | None) -> tuple[Prompt, ...]:
    """A sample drawn once and for all, in order: every nth would keep to one language, as these stand in turn."""
    if count is None or count >= len(prompts):
        return prompts
    places = sorted(Random(_SAMPLE_SEED).sample(range(len(prompts)), count))
    return tuple(prompts[place] for place in places)
