"""Reward functions of the user's own, ``package.module:function``, called once a group in a worker process.

``function(replies: list[dict], prompt: dict) -> list[float]``, a number for each reply. A reply has ``completion``,
``thought``, ``answer`` (None if there is none), ``is_truncated`` and ``num_tokens``; the prompt has ``question``,
``gold``, ``reference``, ``family``, ``level`` and ``language``. It should give the same numbers for the same group, so
that a resumed run equals an uninterrupted one.
"""

import math
from typing import Any, cast

from thinkwright.user_function import load_named, problem_with


def problem_with_reward(name: str) -> str | None:
    """Why this cannot be a reward function, with the remedy; None if it can. Imports it, so it belongs in a worker."""
    return problem_with(name, "function(replies, prompt) -> list of numbers", 2)


def call_function(name: str, replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    """A finite number for each reply. Raises ValueError if the function gives anything else, and what it raises."""
    found = load_named(name)(replies, prompt)
    if not isinstance(found, list | tuple):
        raise ValueError(f"gave {type(found).__name__}, not a list of {len(replies)} numbers")
    values = cast("list[Any]", found)
    if len(values) != len(replies):
        raise ValueError(f"gave {len(values)} numbers for {len(replies)} replies")
    for position, value in enumerate(values):
        try:
            is_finite = not isinstance(value, str | bytes) and math.isfinite(value)
        except (TypeError, ValueError, OverflowError):
            is_finite = False
        if not is_finite:
            raise ValueError(f"gave {value!r:.100} for reply {position}, not a finite number")
    return [float(value) for value in values]
