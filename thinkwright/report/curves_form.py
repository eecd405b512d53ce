"""What a chart of the overview is: where its lines come from, what it means, what is healthy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from thinkwright.report.series import Run

GENERAL = "general"
"""Stands among the kinds of runs for an RL run with prompts that reward models judge."""
TRAINED = ("pretrain", "sft", "rl", "distill", "reward_model")
"""The kinds of runs that change a model."""


class Source(NamedTuple):
    """Where a line of a chart comes from."""

    name: str
    kind: Literal["trained", "held_out"]
    key: str
    colour: str
    """A class of the style sheet."""


Find = Callable[[Run], Sequence[Source]]


@dataclass(frozen=True)
class Curve:
    """A chart: its sources (the last that has values is told in words) and what is said of it."""

    title: str
    y_label: str
    meaning: str
    """The first half of a sentence; the second is the last line's first and last value."""
    healthy: str
    """What it looks like when all is well, as a sentence."""
    sources: tuple[Source, ...] | Find
    """The lines; a function where they depend on the run."""
    is_share: bool = False
    stages: tuple[str, ...] = ("rl",)
    """The kinds of runs it is a curve of."""
    is_split: bool = False
    """Each line is a small chart of its own."""
    is_optional: bool = False
    """Not missed where it is not there."""

    def found(self, run: Run) -> Sequence[Source]:
        """The lines it may have in this run; those without values are left out when it is drawn."""
        return self.sources if isinstance(self.sources, tuple) else self.sources(run)


class Group(NamedTuple):
    """Charts that answer one question."""

    anchor: str
    title: str
    question: str
    curves: tuple[Curve, ...]


def kinds_of(run: Run) -> set[str]:
    """What kinds of runs this one is, as curves name them."""
    return {run.stage, *([GENERAL] if run.setting("general") else [])}


def trained_source(name: str, key: str, colour: str = "train") -> Source:
    """A line of a training metric."""
    return Source(name, "trained", key, colour)


def held_out_source(name: str, key: str, colour: str = "held-out") -> Source:
    """A line of a figure of the held-out evaluations."""
    return Source(name, "held_out", key, colour)
