"""Several tasks at once: each prompt is drawn from one of them, by weight."""

from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any

from thinkwright.tasks.row_prompts import RowPrompts
from thinkwright.tasks.task import Task
from thinkwright.types import Prompt


@dataclass(frozen=True)
class MixturePrompts:
    """Tasks with weights. Finite ones give each row once a pass, at whatever pace the draws take them."""

    members: tuple[Task, ...]
    weights: tuple[float, ...]
    _drawn: dict[tuple[int, int], list[tuple[int, ...]]] = field(
        default_factory=dict[tuple[int, int], list[tuple[int, ...]]], repr=False
    )
    """By seed and count: for each step, how many prompts every member had given before it. Only saves time."""
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def held_out(self) -> tuple[Prompt, ...]:
        """The evaluation's prompts of all members."""
        return tuple(prompt for member in self.members for prompt in member.held_out)

    @property
    def report(self) -> dict[str, Any]:
        """The members' reports, in their order."""
        return {"parts": [member.report for member in self.members]}

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """``count`` prompts, each from a member drawn anew; a function of (seed, step, count) alone."""
        starts, draws = self._starts(seed, step, count), self._draws(seed, step, count)
        streams = [
            iter(self._take(i, seed, step, starts[i], draws.count(i)) if i in draws else [])
            for i in range(len(self.members))
        ]
        return [next(streams[i]) for i in draws]

    def all_prompts(self) -> tuple[Prompt, ...]:
        """Those of all members."""
        return tuple(prompt for member in self.members for prompt in member.all_prompts())

    def notes(self) -> list[str]:
        """Those of all members."""
        return [line for member in self.members for line in member.notes()]

    def _take(self, i: int, seed: int, step: int, start: int, count: int) -> list[Prompt]:
        member = self.members[i]
        return member.at(seed, start, count) if isinstance(member, RowPrompts) else member.prompts(seed, step, count)

    def _draws(self, seed: int, step: int, count: int) -> list[int]:
        """The member of each prompt of a step."""
        return Random(f"mixture/{seed}/{step}").choices(range(len(self.members)), self.weights, k=count)

    def _starts(self, seed: int, step: int, count: int) -> tuple[int, ...]:
        """How many prompts each member gave in all steps before this one."""
        with self._lock:  # rollouts of several steps may be begun at the same time
            known = self._drawn.setdefault((seed, count), [(0,) * len(self.members)])
            while len(known) <= step:
                draws = self._draws(seed, len(known) - 1, count)
                known.append(tuple(before + draws.count(i) for i, before in enumerate(known[-1])))
            return known[step]
