"""From settings to sorted rows, the same for named sets and for a user's own rows, and from those to prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

from thinkwright.errors import DataError
from thinkwright.tasks.decontamination import LeakIndex
from thinkwright.tasks.example import Example
from thinkwright.tasks.filters import add_questions, drop_leaks
from thinkwright.tasks.part import Part, check_not_empty, sample_held_out
from thinkwright.tasks.row_prompts import RowPrompts, to_prompts


@dataclass(frozen=True)
class Questions:
    """Evaluation questions that training rows must keep clear of."""

    whose: str
    """How reports call them."""
    examples: tuple[Example, ...]
    is_made: bool
    """Whether they were made from templates, so that only whole questions are compared."""


@dataclass(frozen=True)
class Loaded:
    """A task's rows with everything looked at but leaks, which a mixture looks at across its parts."""

    name: str
    training: Part
    held_out: Part
    is_made: bool
    evaluation: tuple[Questions, ...]
    """The held-out questions, all of them, and those of ``filters.decontaminate_against``."""
    max_held_out: int
    is_deduplicated: bool
    """``filters.deduplicate``: training rows of other tasks with the same question count as duplicates, too."""
    remedy: str
    """What to do if no row can be used."""
    leak_remedy: str = "give other rows, or loosen task.filters"
    """What to do if all training rows give away a held-out question."""


def finish(loaded: Sequence[Loaded], template: str, others: Sequence[Questions] = ()) -> list[RowPrompts]:
    """Drop the training rows of each task that give away a question of any, and put the rest in the template.

    ``others`` are further questions to keep clear of.
    """
    for task in loaded:
        check_not_empty(task.training, task.remedy)
    evaluation = [questions for task in loaded for questions in task.evaluation]
    for questions in dict.fromkeys([*evaluation, *others]):
        index = LeakIndex()
        add_questions(index, questions.examples, is_made=questions.is_made)
        for task in loaded:
            drop_leaks(task.training, index, questions.whose, is_made=task.is_made)
    return [_to_row_prompts(task, template) for task in loaded]


def _to_row_prompts(task: Loaded, template: str) -> RowPrompts:
    sample_held_out(task.held_out, task.max_held_out)
    if not task.training.examples:
        raise DataError(
            f"{', '.join(task.training.sources)}: no training row is left "
            f"({task.training.note(task.name)}); {task.leak_remedy}"
        )
    parts = {"training": task.training, "held_out": task.held_out}
    return RowPrompts(
        training=to_prompts(task.training.examples, template),
        held_out=to_prompts(task.held_out.examples, template),
        report={name: part.report() for name, part in parts.items()},
        lines=tuple(part.note(f"{task.name}, {name.replace('_', '-')}") for name, part in parts.items()),
    )
