"""Reward functions of the user's own, ``package.module:function``, called once a group in a worker process.

``function(replies: list[dict], prompt: dict) -> list[float]``, a number for each reply. A reply has ``completion``,
``thought``, ``answer`` (None if there is none), ``is_truncated`` and ``num_tokens``; the prompt has ``question``,
``gold``, ``reference``, ``family``, ``level`` and ``language``. It should give the same numbers for the same group, so
that a resumed run equals an uninterrupted one.
"""

import importlib
import inspect
import math
from collections.abc import Callable
from typing import Any, cast

RewardFunction = Callable[[list[dict[str, Any]], dict[str, Any]], list[float]]
REPLY_KEYS = ("completion", "thought", "answer", "is_truncated", "num_tokens")
PROMPT_KEYS = ("question", "gold", "reference", "family", "level", "language")


def load_function(name: str) -> RewardFunction:
    """Import ``package.module:function``. Raises whatever goes wrong."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def problem_with(name: str) -> str | None:
    """Why this cannot be a reward function, with the remedy; None if it can. Imports it, so it belongs in a worker."""
    try:
        function = load_function(name)
    except ModuleNotFoundError as error:
        return f"{error}; correct the name, or run from the folder that the module is in"
    except AttributeError as error:
        return f"{error}; correct the name after the colon"
    except (Exception, SystemExit) as error:
        return f"importing it raised {type(error).__name__}: {error}; mend the module"
    if not callable(function):
        return f"is {type(function).__name__}, not a function; name a function(replies, prompt) -> list of numbers"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return "must be a plain function, neither async nor a generator"
    try:
        inspect.signature(function).bind([], {})
    except (TypeError, ValueError) as error:
        return f"cannot be called as function(replies, prompt): {error}; give it just these two arguments"
    return None


def call_function(name: str, replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    """A finite number for each reply. Raises ValueError if the function gives anything else, and what it raises."""
    found = cast("Any", load_function(name)(replies, prompt))
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
