"""Countdown: reach a target from 3 or 4 numbers with + - * /, as in TinyZero. Every right expression counts."""

import json

from thinkwright.rewards.verifiers.countdown import solve
from thinkwright.tasks.example import Example, NamedSet, Row, Source, split_by_digest

_CONCLUSION = "the final equation is "
# The Hub's set has 490,364 rows without solutions; as many as the local one has are plenty.
_HUB_TRAINING, _HUB_HELD_OUT = split_by_digest(Source("", "Jiayi-Pan/Countdown-Tasks-3to4:train[:12000]"), "nums")


def countdown_example(numbers: list[int], target: int, family: str, reference: str, level: int) -> Example:
    """A question to make a target from numbers, each used once."""
    listed = ", ".join(map(str, numbers))
    return Example(
        question=(
            f"Using the numbers [{listed}], create an equation that equals {target}. You can use basic arithmetic "
            "operations (+, -, *, /), and each number must be used exactly once. Answer with the expression alone, "
            "such as (1 + 2) / 3."
        ),
        verifier="countdown",
        gold=json.dumps({"numbers": numbers, "target": target}),
        reference=reference,
        family=family,
        level=level,
        core=f"{' '.join(map(str, sorted(numbers)))} = {target}",
    )


def _example(row: Row) -> Example:
    numbers, target = [int(number) for number in row["nums"]], int(row["target"])
    hint = row["hint"][-1].partition(_CONCLUSION)[2].strip() if "hint" in row else ""
    return countdown_example(numbers, target, "countdown", hint or solve(numbers, target) or "", level=len(numbers))


SET = NamedSet(
    _example,
    training=(Source("countdown/train.jsonl.gz"), *_HUB_TRAINING),
    held_out=(Source("countdown/test.jsonl.gz"), *_HUB_HELD_OUT),
    is_made=True,
    level_means="numbers given",
)
