"""Where a run's prompts come from: the tiny world, or files of questions and answers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, Protocol

from thinkwright.chat.template import r1_zero_prompt
from thinkwright.config.recipe import JsonlTask, TinyWorldTask
from thinkwright.errors import DataError
from thinkwright.tasks.jsonl import load_jsonl_prompts
from thinkwright.tasks.tiny_world.puzzle import Puzzle
from thinkwright.tasks.tiny_world.world import held_out_puzzles, training_puzzles
from thinkwright.types import Prompt

_DRAWS_PER_PROMPT = 100


class Task(Protocol):
    """Prompts to learn from, and the held-out ones that tell what was learned."""

    @property
    def held_out(self) -> tuple[Prompt, ...]:
        """The evaluation's prompts; none of them is ever trained on."""
        ...

    @property
    def report(self) -> dict[str, Any]:
        """What was loaded and what was left out, in counts and row numbers."""
        ...

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """The training prompts of one step; their ids differ. The same arguments give the same prompts."""
        ...

    def all_prompts(self) -> Sequence[Prompt]:
        """Every prompt of a finite task; of the endless tiny world the held-out ones, which are like the others."""
        ...

    def notes(self) -> list[str]:
        """What a person should know of the report, a line each."""
        ...


@dataclass(frozen=True)
class TinyWorldPrompts:
    """Questions made as they are needed."""

    families: tuple[str, ...]
    held_out: tuple[Prompt, ...]
    report: dict[str, Any]

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """``count`` different questions of the families, held-out ones excepted.

        Raises DataError if the families have not that many (only ``facts`` can run out).
        """
        found: dict[str, Prompt] = {}
        puzzles = training_puzzles(Random(f"prompts/{seed}/{step}"), self.families)
        for puzzle in islice(puzzles, _DRAWS_PER_PROMPT * count):
            found.setdefault(puzzle.question, _prompt(puzzle))
            if len(found) == count:
                return list(found.values())
        raise DataError(
            f"task.families {', '.join(self.families)}: only {len(found)} different questions for a step of {count}; "
            f"set rollout.prompts_per_step to {len(found)} or less, or add families"
        )

    def all_prompts(self) -> tuple[Prompt, ...]:
        """The held-out prompts: every level and language of every family."""
        return self.held_out

    def notes(self) -> list[str]:
        """Nothing: a generated question is never left out for a fault."""
        return []


def load_task(settings: TinyWorldTask | JsonlTask) -> Task:
    """The task of a recipe. Raises DataError for a file or row that cannot be used, RecipeError for a bad pattern."""
    if isinstance(settings, JsonlTask):
        return load_jsonl_prompts(settings)
    held_out = tuple(_prompt(puzzle) for puzzle in held_out_puzzles() if puzzle.family in settings.families)
    return TinyWorldPrompts(settings.families, held_out, {"held_out": {"rows": len(held_out)}})


def _prompt(puzzle: Puzzle) -> Prompt:
    digest = hashlib.sha256(puzzle.question.encode()).hexdigest()[:16]
    return Prompt(
        prompt_id=f"{puzzle.family}/{digest}",
        question=puzzle.question,
        text=r1_zero_prompt(puzzle.question),
        verifier=puzzle.verifier,
        gold=puzzle.gold,
        family=puzzle.family,
        level=puzzle.level,
        language=puzzle.language,
    )
