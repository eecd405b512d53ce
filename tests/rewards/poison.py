"""Verifiers and reward functions that misbehave, for the tests: the answer says how."""

import ctypes
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from thinkwright.rewards.registry import VERIFIERS as OWN
from thinkwright.rewards.verifier import Verifier


def grade(answer: str, gold: str) -> float:
    """The answer is a word that says what to do, and what to do it with."""
    word, _, rest = answer.partition(" ")
    return ACTIONS[word](rest, gold)


def _sleep(rest: str, gold: str) -> float:
    time.sleep(float(rest or 1000))
    return 1.0


def _hog(rest: str, gold: str) -> float:
    return float(len(bytearray(64 * 2**30)))


def _fork(rest: str, gold: str) -> float:
    """Leaves a daemon that left the group, and hangs with a child in it."""
    daemon = [sys.executable, "-c", "import os, time; os.setsid() if os.fork() == 0 else os._exit(0); time.sleep(1000)"]
    subprocess.Popen([*daemon, rest])
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", rest])
    time.sleep(1000)
    return 1.0


def _child_runs_on(rest: str, gold: str) -> float:
    return float(os.fork() == 0)


def _shout(rest: str, gold: str) -> float:
    for _ in range(2000):
        print("x" * 10_000)
        print("y" * 10_000, file=sys.stderr)
    return 1.0


def _die_once(rest: str, gold: str) -> float:
    """``rest`` is a file that remembers."""
    if not Path(rest).exists():
        Path(rest).touch()
        os._exit(3)
    return 1.0


def _raise(rest: str, gold: str) -> float:
    raise ValueError(f"cannot grade {rest}")


def _spin(rest: str, gold: str) -> float:
    return float(len(str(9 ** (9**9))))  # in one call that holds the interpreter


def _log(rest: str, gold: str) -> float:
    with Path(rest).open("a") as file:
        file.write(f"{gold}\n")
    return 1.0


def _closes_errors(rest: str, gold: str) -> float:
    os.close(2)
    time.sleep(0.2)  # until that was seen
    return 1.0


def _waits_for(rest: str, gold: str) -> float:
    while not Path(rest).exists():
        time.sleep(0.01)
    return 1.0


def _last_words(rest: str, gold: str) -> float:
    print("the sky is falling", file=sys.stderr, flush=True)
    os._exit(7)


def _crash(rest: str, gold: str) -> float:
    ctypes.string_at(0)
    return 1.0


ACTIONS: dict[str, Any] = {
    "is": lambda rest, gold: float(rest == gold),
    "pid": lambda rest, gold: Path(rest).write_text(str(os.getpid())) and 1.0,
    "gives": lambda rest, gold: float(rest),
    "text": lambda rest, gold: rest,
    "variable": lambda rest, gold: float(os.environ[rest] == gold),
    "reads": lambda rest, gold: float(len(os.read(0, 1))),
    "sleep": _sleep,
    "spin": _spin,
    "hog": _hog,
    "fork": _fork,
    "child": _child_runs_on,
    "shout": _shout,
    "closes_errors": _closes_errors,
    "waits_for": _waits_for,
    "die": _last_words,
    "die_once": _die_once,
    "crash": _crash,
    "raise": _raise,
    "exit": lambda rest, gold: sys.exit(0),
    "recurse": lambda rest, gold: ACTIONS["recurse"](rest, gold),
    "log": _log,
}


def check_gold(gold: str) -> str | None:
    return "is bad" if gold == "bad" else None


def grade_many(jobs: Any) -> list[float]:
    return [grade(*job) for job in jobs]


VERIFIERS = {
    "quick": Verifier(check_gold, grade, lambda gold: "is -", deadline_seconds=1.0),
    "patient": Verifier(check_gold, grade, lambda gold: "is -", deadline_seconds=60.0),
    "many": Verifier(check_gold, grade, lambda gold: "is -", deadline_seconds=1.0, grade_many=grade_many),
}


def lengths(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    return [float(len(reply["answer"] or "")) for reply in replies]


def too_few(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    return [1.0]


def not_a_number(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    return [float("nan")] * len(replies)


def raises(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    raise KeyError("no such thing")


def hangs_on_seven(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    if prompt["gold"] == "7":
        time.sleep(1000)
    return [0.5] * len(replies)


def of_three(replies: list[dict[str, Any]], prompt: dict[str, Any], more: int) -> list[float]:
    return []


async def later(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    return []


def _unsure(verifier: Verifier) -> Verifier:
    """The verifier, except that it raises for every answer of an odd number of characters."""

    def grade(answer: str, gold: str) -> float:
        if len(answer) % 2:
            raise ValueError("an odd answer")
        return verifier.grade(answer, gold)

    return replace(verifier, grade=grade, grade_many=None)


UNSURE = {name: _unsure(verifier) for name, verifier in OWN.items()}
