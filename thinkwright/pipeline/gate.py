"""A gate: a measured condition that must hold before a stage spends hours."""

from typing import Any

from thinkwright.config.recipe import Gate
from thinkwright.errors import GateError


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
