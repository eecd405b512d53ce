"""A task without some of its training prompts, such as rows whose own gold answer does not score full marks."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

from thinkwright.errors import DataError
from thinkwright.tasks.task import Task
from thinkwright.types import Prompt

_VISIT = re.compile(r"/(?:epoch_[0-9]+|review|spare)\Z")


def row_id(prompt_id: str) -> str:
    """The id of the row a prompt was made of: its own id without the pass through the file it belongs to."""
    return _VISIT.sub("", prompt_id)


def training_rows(task: Task) -> tuple[Prompt, ...]:
    """The training prompts of a finite task, once each; nothing for an endless one."""
    held_out = {row_id(prompt.prompt_id) for prompt in task.held_out}
    return tuple(prompt for prompt in task.all_prompts() if row_id(prompt.prompt_id) not in held_out)


@dataclass(frozen=True)
class WithoutPrompts:
    """Another task, less the training rows of these ids; the held-out prompts stay, so that figures stay comparable."""

    task: Task
    row_ids: frozenset[str]

    @property
    def held_out(self) -> tuple[Prompt, ...]:
        """The other task's."""
        return self.task.held_out

    @property
    def report(self) -> dict[str, Any]:
        """The other task's, and how many rows are left out here."""
        return self.task.report | {"excluded": {"rows": len(self.row_ids), "row_ids": sorted(self.row_ids)}}

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """The other task's prompts of the step, in place of each row left out one of its family. Raises DataError."""
        chosen = self.task.prompts(seed, step, count)
        taken = {row_id(prompt.prompt_id) for prompt in chosen}
        rng = Random(f"spare/{seed}/{step}")
        return [self._spare(prompt, taken, rng) if self._is_excluded(prompt) else prompt for prompt in chosen]

    def all_prompts(self) -> Sequence[Prompt]:
        """All that is left, and the held-out prompts."""
        held_out = {prompt.prompt_id for prompt in self.held_out}
        return [p for p in self.task.all_prompts() if p.prompt_id in held_out or not self._is_excluded(p)]

    def notes(self) -> list[str]:
        """The other task's, and one on what is left out here."""
        note = f"{len(self.row_ids)} rows left out of training: they fail the doctor's check (doctor.json)"
        return [*self.task.notes(), *([note] if self.row_ids else [])]

    def _is_excluded(self, prompt: Prompt) -> bool:
        return row_id(prompt.prompt_id) in self.row_ids

    def _spare(self, prompt: Prompt, taken: set[str], rng: Random) -> Prompt:
        """A row that is not ``taken``; it is from then on."""
        for rows in (self._rows_by_family.get(prompt.family, []), self._rows):
            start = rng.randrange(len(rows)) if rows else 0
            for row in rows[start:] + rows[:start]:
                if row.prompt_id not in taken:
                    taken.add(row.prompt_id)
                    return replace(row, prompt_id=f"{row.prompt_id}/spare")
        raise DataError(
            f"{len(self.row_ids)} rows of the task are left out, and with the {len(self._rows)} others a step cannot "
            "be filled; mend the rows that doctor.json lists, or lower rollout.prompts_per_step"
        )

    @cached_property
    def _rows(self) -> list[Prompt]:
        return [prompt for prompt in training_rows(self.task) if not self._is_excluded(prompt)]

    @cached_property
    def _rows_by_family(self) -> dict[str, list[Prompt]]:
        found: defaultdict[str, list[Prompt]] = defaultdict(list)
        for prompt in self._rows:
            found[prompt.family].append(prompt)
        return found
