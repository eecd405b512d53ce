"""A curriculum: of another task's prompts, those whose running pass rate says that there is something to learn.

Prompts are met in the order of the task beneath, so that its shuffling and the weights of a mixture hold; rows that are
set aside are passed over. They come back as reviews, a few a step, and are taken up again when a review puts them into
the band: the policy that found them too hard, or easy, has changed meanwhile. Questions made anew for every step, such
as a mixture may have among its rows, have no running pass rate and are used as they come.

Everything is a function of (seed, state), and the state is JSON: counts and rates by row, and the place in the order,
which is a step of the task beneath and a prompt of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from thinkwright.config.curriculum import Curriculum
from thinkwright.errors import RecipeError
from thinkwright.tasks.exclusion import row_id, training_rows
from thinkwright.tasks.task import Task
from thinkwright.types import Metrics, Prompt, RolloutGroup

_KEPT_STEPS = 64
"""More than any run draws in advance."""
_MAX_PASSES = 3
"""How many times as many prompts as there are rows are looked through for ones to use, before rows that are set aside
fill the step."""


@dataclass(frozen=True)
class _Record:
    """What is known of a row."""

    visits: int
    pass_rate: float
    solved_in_a_row: int
    last_step: int


class CurriculumTask:
    """Another task's prompts, chosen by what the policy made of them so far."""

    def __init__(self, settings: Curriculum, task: Task) -> None:
        """Raises RecipeError for a task whose questions never come twice."""
        rows = training_rows(task)
        if not rows:
            raise RecipeError(
                "curriculum has no effect on this task: its questions are made anew for every step, so none has a "
                "running pass rate; remove [curriculum], or choose levels and families in [task]"
            )
        self._settings, self._task = settings, task
        self._rows = {row_id(prompt.prompt_id): prompt for prompt in rows}
        self._records: dict[str, _Record] = {}
        self._next_step, self._next_place, self._drawn = 0, 0, 0
        self._num_reviewed = 0
        self._places: dict[int, dict[str, int]] = {}
        """Where it stood before it drew a step's prompts."""
        self._order: tuple[tuple[int, int, int], list[Prompt]] | None = None

    @property
    def held_out(self) -> tuple[Prompt, ...]:
        """The task's."""
        return self._task.held_out

    @property
    def report(self) -> dict[str, Any]:
        """The task's."""
        return self._task.report

    def all_prompts(self) -> Sequence[Prompt]:
        """The task's."""
        return self._task.all_prompts()

    def notes(self) -> list[str]:
        """The task's."""
        return self._task.notes()

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """The next ``count`` rows worth their rollouts, ``review_share`` of them reviews. To be called once a step.

        Raises RecipeError if the task has not as many rows.
        """
        if count > len(self._rows):
            raise RecipeError(
                f"rollout.prompts_per_step = {count} is more than the {len(self._rows)} training prompts that the "
                "curriculum has to choose from; lower it, or remove [curriculum]"
            )
        self._places = {at: place for at, place in self._places.items() if at > step - _KEPT_STEPS}
        self._places[step] = self._place()
        share = self._settings.review_share
        num_reviews = int((self._drawn + count) * share) - int(self._drawn * share)
        self._drawn += count
        reviews = [name for name in self._by_age() if self._is_set_aside(name)][:num_reviews]
        chosen = self._next_active(seed, count, count - len(reviews), frozenset(reviews))
        if missing := count - len(reviews) - len(chosen):
            taken = {*reviews, *(row_id(prompt.prompt_id) for prompt in chosen)}
            reviews += [name for name in self._by_age() if name not in taken][:missing]
        self._num_reviewed = len(reviews)
        return chosen + [replace(self._rows[name], prompt_id=f"{name}/review") for name in reviews]

    def observe(self, step: int, groups: Sequence[RolloutGroup]) -> None:
        """Take note of how the step's groups did. Rollouts without an accuracy, such as failed ones, do not count."""
        for group in groups:
            name = row_id(group.prompt.prompt_id)
            marks = [m.scores["accuracy"] for m in group.members if "accuracy" in m.scores]
            if name not in self._rows or not marks:
                continue
            rate, weight = fmean(marks), self._settings.smoothing
            before = self._records.get(name, _Record(0, rate, 0, step))
            running = (1 - weight) * before.pass_rate + weight * rate
            solved = before.solved_in_a_row + 1 if running >= self._settings.high else 0
            self._records[name] = _Record(before.visits + 1, running, solved, step)

    def metrics(self) -> Metrics:
        """How many rows are in use, solved, too hard, and how many of the last step's prompts were reviews."""
        retired = sum(self._is_retired(record) for record in self._records.values())
        too_hard = sum(self._is_too_hard(record) for record in self._records.values())
        return {
            "curriculum/active": len(self._rows) - retired - too_hard,
            "curriculum/retired": retired,
            "curriculum/too_hard": too_hard,
            "curriculum/reviewed": self._num_reviewed,
        }

    def state(self, next_step: int) -> dict[str, Any]:
        """What a checkpoint must hold, as JSON, for a run that goes on with this step.

        Its prompts, and later ones', may have been drawn in advance; they will be drawn again.
        """
        rows = {
            name: [record.visits, record.pass_rate, record.solved_in_a_row, record.last_step]
            for name, record in self._records.items()
        }
        return {**self._places.get(next_step, self._place()), "rows": rows}

    def _place(self) -> dict[str, int]:
        return {"next_step": self._next_step, "next_place": self._next_place, "drawn": self._drawn}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._next_step, self._next_place, self._drawn = state["next_step"], state["next_place"], state["drawn"]
        self._records = {name: _Record(*fields) for name, fields in state["rows"].items()}
        self._places = {}

    def _next_active(self, seed: int, step_size: int, count: int, taken: frozenset[str]) -> list[Prompt]:
        """Up to ``count`` rows in use that are not ``taken``, in the task's order from where the last step ended."""
        chosen: dict[str, Prompt] = {}
        last_step = self._next_step + _MAX_PASSES * math.ceil(len(self._rows) / step_size)
        while len(chosen) < count and self._next_step < last_step:
            order = self._order_of_step(seed, step_size)
            for prompt in order[self._next_place :]:
                self._next_place += 1
                name = row_id(prompt.prompt_id)
                if name not in taken and name not in chosen and not self._is_set_aside(name):
                    chosen[name] = prompt
                    if len(chosen) == count:
                        break
            if self._next_place >= len(order):
                self._next_step, self._next_place = self._next_step + 1, 0
        return list(chosen.values())

    def _order_of_step(self, seed: int, step_size: int) -> list[Prompt]:
        """The prompts of the task's own step; kept while they are used."""
        key = seed, self._next_step, step_size
        if self._order is None or self._order[0] != key:
            self._order = key, self._task.prompts(*key)
        return self._order[1]

    def _by_age(self) -> list[str]:
        """All rows, the longest unseen first."""
        last_steps = {name: record.last_step for name, record in self._records.items()}
        return sorted(self._rows, key=lambda name: (last_steps.get(name, -1), name))

    def _is_set_aside(self, name: str) -> bool:
        record = self._records.get(name)
        return record is not None and (self._is_retired(record) or self._is_too_hard(record))

    def _is_retired(self, record: _Record) -> bool:
        return record.solved_in_a_row >= self._settings.retire_after

    def _is_too_hard(self, record: _Record) -> bool:
        return record.visits >= self._settings.min_visits and record.pass_rate < self._settings.low
