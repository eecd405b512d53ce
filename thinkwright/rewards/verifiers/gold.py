"""Golds that are JSON objects."""

import json
from collections.abc import Callable
from typing import Any, cast


def read_gold_object(gold: str) -> dict[str, Any] | None:
    """The object that ``gold`` is, or None if it is not JSON, or JSON of another kind."""
    try:
        found = json.loads(gold)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def read_strings(value: object) -> list[str] | None:
    """``value`` if it is a list of strings with something in it, else None."""
    if not isinstance(value, list) or not value:
        return None
    items = cast("list[Any]", value)
    return cast("list[str]", items) if all(isinstance(item, str) for item in items) else None


def problem_of(parse: Callable[[str], object], gold: str) -> str | None:
    """What ``parse`` finds wrong with a gold (its ValueError), or None."""
    try:
        parse(gold)
    except ValueError as error:
        return str(error)
    return None
