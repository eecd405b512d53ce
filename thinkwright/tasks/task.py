"""What a task is to the rest of the package."""

from collections.abc import Sequence
from typing import Any, Protocol

from thinkwright.types import Prompt


class Task(Protocol):
    """Prompts to learn from, and the held-out ones that tell what was learned."""

    @property
    def held_out(self) -> tuple[Prompt, ...]:
        """The evaluation's prompts; none of them is ever trained on."""
        ...

    @property
    def report(self) -> dict[str, Any]:
        """What was loaded and what was left out, in counts and row ids with reasons."""
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
