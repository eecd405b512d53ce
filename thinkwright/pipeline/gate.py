"""A gate: a measured condition that must hold before a stage spends hours."""

import json
from pathlib import Path
from typing import Any, cast

from thinkwright.config.pipeline import Condition
from thinkwright.config.recipe import Gate
from thinkwright.errors import GateError

_EXAMPLES, _SHOWN = 3, 160


def check_gate(gate: Gate, baselines: dict[str, dict[str, Any]]) -> str:
    """Says what was measured; raises GateError if the base would have nothing to gain from thinking.

    RL selects what the base can do when made to go step by step; it does not teach the step.
    """
    bare, forced = baselines["bare"]["accuracy"], baselines["forced"]["accuracy"]
    seen = f"bare answer {bare:.1%}, step by step {forced:.1%}"
    if forced - bare < gate.min_forced_minus_bare:
        raise GateError(
            f"gate: {seen}; the difference {forced - bare:.1%} is under gate.min_forced_minus_bare = "
            f"{gate.min_forced_minus_bare:.0%}, so RL has nothing to select; pre-train longer or make the tasks longer"
        )
    return f"gate passed: {seen}"


def unmet(condition: Condition, figures: dict[str, Any]) -> tuple[float, str | None]:
    """The figure that a condition is about, and in words why it does not hold, or None if it does."""
    value: Any = figures
    for part in condition.figure.split("."):
        value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
    if not isinstance(value, int | float):
        known = ", ".join(name for name, found in figures.items() if isinstance(found, int | float)) or "none"
        return float("nan"), f"there is no figure {condition.figure}; figures: {known}"
    if condition.min is not None and value < condition.min:
        return value, f"{condition.figure} is {value:.4g}, at least {condition.min:g} is wanted"
    if condition.max is not None and value > condition.max:
        return value, f"{condition.figure} is {value:.4g}, at most {condition.max:g} is wanted"
    return value, None


def examples_of(folder: Path) -> list[str]:
    """A few replies of the stage's last evaluation that were not right, on one line each."""
    evaluations = sorted(folder.glob("eval/step_*.json"))
    if not evaluations:
        return []
    samples: list[dict[str, Any]] = json.loads(evaluations[-1].read_text(encoding="utf-8"))["samples"]
    wrong = [sample for sample in samples if not sample["is_correct"]]
    return [f"{sample['question']!r}: {sample['text']!r:.{_SHOWN}}" for sample in wrong[:_EXAMPLES]]
