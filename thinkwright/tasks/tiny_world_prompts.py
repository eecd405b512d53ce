"""The tiny world as a task: questions made as they are needed."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from thinkwright.chat.template import TEMPLATES, Template
from thinkwright.config.tasks import TinyWorldTask
from thinkwright.errors import DataError
from thinkwright.tasks.example import question_digest
from thinkwright.tasks.tiny_world.puzzle import Puzzle
from thinkwright.tasks.tiny_world.world import held_out_puzzles, training_puzzles
from thinkwright.types import Prompt

_DRAWS_PER_PROMPT = 100


@dataclass(frozen=True)
class TinyWorldPrompts:
    """Questions of some families, in a template."""

    families: tuple[str, ...]
    template: Template
    held_out: tuple[Prompt, ...]
    report: dict[str, Any]
    part: str = ""
    """What begins the ids of training prompts and goes into the draw, where another tiny world has none."""

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """``count`` different questions of the families, held-out ones excepted.

        Raises DataError if the families have not that many (only ``facts`` can run out).
        """
        found: dict[str, Prompt] = {}
        puzzles = training_puzzles(Random(f"{self.part}prompts/{seed}/{step}"), self.families)
        for puzzle in islice(puzzles, _DRAWS_PER_PROMPT * count):
            found.setdefault(puzzle.question, _prompt(puzzle, self.template, self.part))
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


def load_tiny_world(
    settings: TinyWorldTask, template: str, part: str = "", examined: Collection[str] = ()
) -> TinyWorldPrompts:
    """The questions of the chosen families; no held-out ones of those that are ``examined`` elsewhere."""
    chosen = TEMPLATES[template]
    families = set(settings.families) - set(examined)
    held_out = tuple(_prompt(puzzle, chosen) for puzzle in held_out_puzzles() if puzzle.family in families)
    return TinyWorldPrompts(settings.families, chosen, held_out, {"held_out": {"rows": len(held_out)}}, part)


def _prompt(puzzle: Puzzle, template: Template, part: str = "") -> Prompt:
    return Prompt(
        prompt_id=f"{part}{puzzle.family}/{question_digest(puzzle.question)}",
        question=puzzle.question,
        text=template.prompt(puzzle.question),
        verifier=puzzle.verifier,
        gold=puzzle.gold,
        reference=puzzle.answer,
        template=template.name,
        family=puzzle.family,
        level=puzzle.level,
        language=puzzle.language,
    )
