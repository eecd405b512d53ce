"""Where a run's prompts come from: the tiny world, a named data set, rows of one's own, or a mixture of these."""

from collections.abc import Sequence

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.tasks import (
    MixtureTask,
    NamedTask,
    PromptsTask,
    RequestsTask,
    RowsTask,
    TaskSettings,
    TinyWorldTask,
)
from thinkwright.errors import RecipeError
from thinkwright.tasks.decontamination import identity
from thinkwright.tasks.example import Example
from thinkwright.tasks.filters import drop_repeated
from thinkwright.tasks.loaded import Loaded, Questions, finish
from thinkwright.tasks.mixture import MixturePrompts
from thinkwright.tasks.named import load_named_task
from thinkwright.tasks.open_prompts import load_open_prompts
from thinkwright.tasks.part import Part, check_not_empty
from thinkwright.tasks.requests_prompts import load_requests
from thinkwright.tasks.rows import load_rows
from thinkwright.tasks.task import Task
from thinkwright.tasks.tiny_world_prompts import load_tiny_world
from thinkwright.types import Prompt

__all__ = ["Task", "load_task"]


def load_task(settings: TaskSettings, template: str = "r1_zero") -> Task:
    """The task of a recipe, its prompts in the template of that name.

    Raises DataError for a file or row that cannot be used, RecipeError for a bad pattern or template.
    """
    if template not in TEMPLATES:
        raise RecipeError(f"template {template!r}: there is none of this name, only {', '.join(TEMPLATES)}")
    if isinstance(settings, MixtureTask):
        return _load_mixture(settings, template)
    if isinstance(settings, TinyWorldTask):
        return load_tiny_world(settings, template)
    if isinstance(settings, RequestsTask):
        return load_requests(settings, template)
    if isinstance(settings, PromptsTask):
        return load_open_prompts(settings, template)
    return finish([_load(settings)], template)[0]


def _load(settings: NamedTask | RowsTask, id_prefix: str = "") -> Loaded:
    loaded = load_named_task(settings) if isinstance(settings, NamedTask) else load_rows(settings, id_prefix)
    check_not_empty(loaded.held_out, loaded.remedy)
    return loaded


def _load_mixture(settings: MixtureTask, template: str) -> MixturePrompts:
    """Leaks and duplicates are looked for across all parts; a row that two parts share stays with the first."""
    tiny = _tiny_worlds(settings, template)
    loaded = {
        i: _load(part.task, f"part_{i + 1}/")
        for i, part in enumerate(settings.parts)
        if not isinstance(part.task, TinyWorldTask)
    }
    _drop_shared([task.training for task in loaded.values()])
    _drop_shared([task.held_out for task in loaded.values()])
    _drop_repeated(list(loaded.values()))
    held_out = [_questions(member.held_out) for member in tiny.values()]
    members = tiny | dict(zip(loaded, finish(list(loaded.values()), template, held_out), strict=True))
    return MixturePrompts(tuple(members[i] for i in range(len(members))), tuple(part.weight for part in settings.parts))


def _tiny_worlds(settings: MixtureTask, template: str) -> dict[int, Task]:
    """By place in the mixture. All but the first draw by their part's number; a family is examined in one of them."""
    found: dict[int, Task] = {}
    examined: set[str] = set()
    for i, part in enumerate(settings.parts):
        if isinstance(part.task, TinyWorldTask):
            found[i] = load_tiny_world(part.task, template, f"part_{i + 1}/" if found else "", examined)
            examined |= set(part.task.families)
    return found


def _questions(prompts: Sequence[Prompt]) -> Questions:
    """Held-out questions of the tiny world, made as they are, for others to keep clear of."""
    examples = [Example(p.question, p.verifier, p.gold, p.reference, p.family, p.level, p.language) for p in prompts]
    return Questions("tiny_world", tuple(examples), is_made=True)


def _drop_shared(parts: Sequence[Part]) -> None:
    seen: set[str] = set()
    for part in parts:
        for row in [row for row in part.examples if row in seen]:
            part.leave_out("duplicate", row, "as in an earlier part of the mixture")
        seen.update(part.examples)


def _drop_repeated(loaded: Sequence[Loaded]) -> None:
    """Leave out training rows whose question an earlier part asks, too."""
    first: dict[tuple[bool, str], str] = {}
    for task in loaded:
        if task.is_deduplicated:
            drop_repeated(task.training, first, is_made=task.is_made)
        for row, example in task.training.examples.items():
            for is_made in (True, False):
                first.setdefault((is_made, identity(example.compared, is_made=is_made)), row)
