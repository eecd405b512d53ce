"""A gate: a measured condition that must hold before a stage spends hours."""

import math
from pathlib import Path
from typing import Any, cast

from thinkwright.config.pipeline import Condition
from thinkwright.config.problems import did_you_mean
from thinkwright.config.recipe import Gate
from thinkwright.errors import GateError
from thinkwright.run_folder import read_json

KEY_FIGURES = ("accuracy", "held_out_accuracy", "examples", "held_out_loss")
"""By which a stage is told, first what says most."""
_EXAMPLES, _SHOWN = 3, 160
_OF_REQUESTS = ("conduct_", "harmless_", "over_refusal_", "small_talk_", "win_rate")


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
    known = named_figures(figures)
    name, value = condition.figure, known.get(condition.figure, math.nan)
    if name not in known:
        hint = did_you_mean(name, known)
        return math.nan, f"there is no figure {name}{hint or ';'} figures: {', '.join(known) or 'none'}"
    if math.isnan(value):
        return value, f"{name} could not be measured (it is not a number)"
    if condition.min is not None and value < condition.min:
        return value, f"{name} is {value:.4g}, at least {condition.min:g} is wanted"
    if condition.max is not None and value > condition.max:
        return value, f"{name} is {value:.4g}, at most {condition.max:g} is wanted"
    return value, None


def named_figures(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number among a stage's figures by its dotted name; how they were measured is none."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, dict) and name != "settings":
            found |= named_figures(cast("dict[str, Any]", value), f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{name}"] = float(value)
    return found


def key_figure(figures: dict[str, Any]) -> tuple[str, float] | None:
    """Name and value of the figure that says most about a stage; None if it has none of them."""
    known = named_figures(figures)
    return next(((name, known[name]) for name in KEY_FIGURES if name in known), None)


def examples_of(folder: Path, figure: str) -> list[str]:
    """A few replies of the stage's last evaluation that were not right, on one line each.

    Of a stage that evaluates several models: of the one that ``figure`` is about. Of rejection sampling: why
    completions were dropped.
    """
    model = figure.partition(".")[0].replace(" ", "_")
    evaluations = sorted(folder.glob("eval/step_*.json")) or [folder / "eval" / f"{model}.json"]
    if not evaluations[-1].is_file():
        return _why_dropped(folder / "summary.json")
    samples: Any = read_json(evaluations[-1])["samples"]
    rows: list[dict[str, Any]] = samples[_asked(figure)] if isinstance(samples, dict) else samples
    wrong = [sample for sample in rows if not sample["is_correct"]]
    return [f"{sample['question']!r}: {sample['text']!r:.{_SHOWN}}" for sample in wrong[:_EXAMPLES]]


def _asked(figure: str) -> str:
    """What a figure of a model in an ``evaluate`` stage is of: ``task`` or ``requests``."""
    return "requests" if figure.partition(".")[2].startswith(_OF_REQUESTS) else "task"


def _why_dropped(summary: Path) -> list[str]:
    after: dict[str, Any] = read_json(summary).get("after", {}) if summary.is_file() else {}
    dropped: dict[str, int] = after.get("dropped", {})
    most = sorted(dropped.items(), key=lambda reason: -reason[1])[:_EXAMPLES]
    return [f"{count:,} of {after['sampled']:,} sampled: {reason}" for reason, count in most]
