"""A task of finitely many rows: every row once a pass, in an order shuffled anew for every pass."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from thinkwright.chat.template import TEMPLATES, Template
from thinkwright.tasks.example import Example
from thinkwright.types import Prompt


@dataclass(frozen=True)
class RowPrompts:
    """The usable rows as prompts."""

    training: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]
    report: dict[str, Any]
    """For each part its counts, and the rows left out with reasons."""
    lines: tuple[str, ...]

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """The next ``count`` rows."""
        return self.at(seed, step * count, count)

    def at(self, seed: int, position: int, count: int) -> list[Prompt]:
        """``count`` rows from a position in the endless sequence of passes.

        The pass is part of the id: at its border a row can come twice in a step, and ids must differ there.
        """
        num_rows = len(self.training)
        places = [divmod(i, num_rows) for i in range(position, position + count)]
        chosen = [(epoch, self.training[_order(seed, epoch, num_rows)[i]]) for epoch, i in places]
        return [replace(prompt, prompt_id=f"{prompt.prompt_id}/epoch_{epoch}") for epoch, prompt in chosen]

    def all_prompts(self) -> tuple[Prompt, ...]:
        """All training and held-out prompts."""
        return self.training + self.held_out

    def notes(self) -> list[str]:
        """One line for each part with its counts."""
        return list(self.lines)


def to_prompts(examples: Mapping[str, Example], template: str) -> tuple[Prompt, ...]:
    """Examples by id, put in the template of that name."""
    return tuple(_prompt(prompt_id, example, TEMPLATES[template]) for prompt_id, example in examples.items())


def _prompt(prompt_id: str, example: Example, template: Template) -> Prompt:
    return Prompt(
        prompt_id=prompt_id,
        question=example.question,
        text=template.prompt(example.question),
        verifier=example.verifier,
        gold=example.gold,
        reference=example.reference,
        template=template.name,
        family=example.family,
        level=example.level,
        language=example.language,
    )


@lru_cache(maxsize=16)
def _order(seed: int, epoch: int, num_rows: int) -> tuple[int, ...]:
    order = list(range(num_rows))
    Random(f"prompts/{seed}/{epoch}").shuffle(order)
    return tuple(order)
