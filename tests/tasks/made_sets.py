"""Small data folders in the layout of the named sets, for tests without the real ones."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PEOPLE = ("Zoey", "Owen", "Ava", "Liam", "Mia", "Jack", "Lily")
NUM_PROBLEMS = 40
THINGS = ("apples", "pens", "stones", "coins", "books", "shells", "cards", "cups", "hats", "keys")


def write_data_folder(folder: Path) -> Path:
    """GSM8K, countdown, MBPP, and knights and knaves: a few dozen made rows each."""
    solutions = [("train.jsonl.gz", range(NUM_PROBLEMS)), ("test_first819.jsonl", range(NUM_PROBLEMS, 60))]
    for name, numbers in solutions:
        _write(folder / "gsm8k" / name, [_word_problem(i) for i in numbers])
    for name, numbers in (("train.jsonl.gz", range(NUM_PROBLEMS)), ("test.jsonl.gz", range(NUM_PROBLEMS, 60))):
        _write(folder / "countdown" / name, [_countdown(i) for i in numbers])
        _write(folder / "knights_and_knaves" / name, [_puzzle(i) for i in numbers])
    _write(folder / "mbpp" / "mbpp.jsonl", [_program(i) for i in [*range(11, 31), *range(511, 531), *range(601, 631)]])
    return folder


def _word_problem(i: int) -> dict[str, Any]:
    a, b = i + 2, 3 * i + 1
    thing = f"{THINGS[i % 10]} and {THINGS[i // 10]}"
    return {
        "question": f"Person {i} has {a} {thing}. Then {b} more come. How many?",
        "answer": f"There are {a}+{b}=<<{a}+{b}={a + b}>>{a + b}.\n#### {a + b:,}",
    }


def _countdown(i: int) -> dict[str, Any]:
    numbers = [i + 1, i + 3, 2] if i % 2 else [i + 1, i + 3, 2, 5]
    expression = " + ".join(map(str, numbers))
    hint = ["add them all\n", f"Therefore, the final equation is {expression}"]
    return {"target": sum(numbers), "nums": numbers, "hint": hint}


def _puzzle(i: int) -> dict[str, Any]:
    names = list(PEOPLE[: 3 + i % 3])
    says = " ".join(f'{name} says: "It is {i} o\'clock".' for name in names)
    return {
        "quiz": f"Knights tell the truth, knaves lie. {says} Who is who?",
        "names": names,
        "solution": [True] * len(names),
    }


def _program(i: int) -> dict[str, Any]:
    return {
        "task_id": i,
        "text": f"Write a function to add {i} to a number.",
        "code": f"def add_{i}(x):\r\n  return x + {i}",
        "test_setup_code": "",
        "test_list": [f"assert add_{i}({x}) == {x + i}" for x in (0, 1, 5)],
    }


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
