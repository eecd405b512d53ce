"""Prints, for every named set, how many rows can be used and how many reference answers score full marks.

    python scripts/check_sets.py [NAME ...]

Reads the folder in THINKWRIGHT_DATA. A reference must score 1 as it is and, in mathematics, in a box; a wrong answer 0.
Below the table stand the rows that are left out, with the reason, and those where this does not hold: they belong into
``broken`` of the set's file.
"""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.pool import Job, WorkerPool
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.example import Example
from thinkwright.tasks.named import read_set
from thinkwright.tasks.part import REASONS, Part
from thinkwright.tasks.sets import SETS

NUM_WORKERS = 2
_HEAD = ("set", "part", "rows", "usable", "reference", "boxed", "wrong scores 0", "left out", "seconds")


def main(names: list[str]) -> None:
    """One table row a set and part, then the failures."""
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}")
    failures: list[str] = []
    with WorkerPool(NUM_WORKERS) as pool:
        for name in names or sorted(SETS):
            for part in ("training", "held_out"):
                if getattr(SETS[name], part):
                    failures += _check(name, part, pool)
    print("\n".join(["", *failures]))


def _check(name: str, part: str, pool: WorkerPool) -> list[str]:
    started = time.monotonic()
    found = read_set(name, part)
    with_reference = {row: example for row, example in found.examples.items() if example.reference}
    boxed = {row: example for row, example in with_reference.items() if example.verifier == "math"}
    columns = [
        _grade(with_reference, lambda example: example.reference, 1, pool),
        _grade(boxed, lambda example: TEMPLATES["boxed"].write("So it is:", example.reference), 1, pool),
        _grade(found.examples, lambda example: VERIFIERS[example.verifier].wrong_answer(example.gold), 0, pool),
    ]
    counts = [str(len(found.examples) + found.num_left_out()), str(len(found.examples))]
    shares = [_share(len(wrong), total) for wrong, total in columns]
    seconds = f"{time.monotonic() - started:.1f}"
    print(f"| {' | '.join([name, part, *counts, *shares, _left_out(found), seconds])} |", flush=True)
    left_out = [f"{row}: left out: {reason}" for rows in found.left_out.values() for row, reason in rows.items()]
    return left_out + [f"{row}: {failure}" for wrong, _ in columns for row, failure in wrong.items()]


def _grade(
    examples: Mapping[str, Example], answer_of: Callable[[Example], str], expected: float, pool: WorkerPool
) -> tuple[dict[str, str], int]:
    """The rows whose answer does not score what it should, with what it did; and how many rows there are."""
    jobs = [Job(example.verifier, answer_of(example), example.gold) for example in examples.values()]
    verdicts = dict(zip(examples, zip(jobs, pool.grade(jobs), strict=True), strict=True))
    wrong = {
        row: f"{verdict.outcome} {verdict.score}, not {expected} {verdict.detail} {job.answer[:80]!r}"
        for row, (job, verdict) in verdicts.items()
        if verdict.score != expected
    }
    return wrong, len(jobs)


def _share(num_wrong: int, total: int) -> str:
    return f"{total - num_wrong:,} of {total:,} ({1 - num_wrong / total:.2%})" if total else "none"


def _left_out(part: Part) -> str:
    return ", ".join(f"{len(rows)} {REASONS[kind]}" for kind, rows in part.left_out.items()) or "none"


if __name__ == "__main__":
    main(sys.argv[1:])
