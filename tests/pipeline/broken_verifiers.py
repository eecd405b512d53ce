"""Verifiers as one would not want them, for the worker processes of the doctor's tests."""

import time
from typing import Any

from thinkwright.rewards.verifier import Verifier


def _any_gold(_: str) -> None:
    return None


def _raises(_: str, gold: str) -> float:
    raise RuntimeError(f"cannot judge {gold}")


def _hangs_on_seven(answer: str, gold: str) -> float:
    if gold == "7":
        time.sleep(600)
    return float(answer == gold)


SAYS_YES = {"number": Verifier(_any_gold, lambda *_: 1.0, lambda gold: f"not {gold}")}
READS_NO_BOX = {"number": Verifier(_any_gold, lambda answer, gold: float(answer == gold), lambda gold: f"not {gold}")}
RAISES = {"number": Verifier(_any_gold, _raises, lambda gold: f"not {gold}")}
HANGS = {"number": Verifier(_any_gold, _hangs_on_seven, lambda gold: f"not {gold}", deadline_seconds=0.3)}


def always_one(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    """A reward that looks at nothing."""
    return [1.0 for _ in replies]


def divides_by_zero(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    """A reward with a fault."""
    return [1 / 0 for _ in replies]
