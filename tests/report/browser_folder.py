"""Rollouts of a run folder, made as training makes them, with texts of the test's choice."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zstandard

from thinkwright.types import FinishReason, Outcome, Prompt, Rollout, RolloutGroup, ScoredRollout

RIGHT = "<think>{}</think> <answer>4</answer>"
WRONG = "<think>{}</think> <answer>5</answer>"


def member(
    text: str,
    accuracy: float = 1.0,
    *,
    finish: FinishReason = "stop",
    outcome: Outcome = "graded",
    detail: str = "",
    num_tokens: int = 7,
) -> ScoredRollout:
    """A completion worth its accuracy and a point for the form."""
    numbers = (0.0,) * num_tokens
    rollout = Rollout(tuple(range(num_tokens)), numbers, numbers, (False,) * num_tokens, text, finish, 3)
    scores = {"accuracy": accuracy, "format": 1.0} if outcome == "graded" else {"format": 1.0}
    return ScoredRollout(rollout, scores, accuracy + 1.0 if outcome == "graded" else 0.0, outcome, detail)


def group(prompt_id: str, members: Sequence[ScoredRollout], **changes: Any) -> RolloutGroup:
    """The completions of a question; ``changes`` are fields of its Prompt."""
    said = {
        "prompt_id": prompt_id, "question": f"What is {prompt_id}?", "text": "", "verifier": "number", "gold": "4",
        "reference": "4", "template": "r1_zero", "family": "arithmetic", "level": 1, "language": "en",
    }  # fmt: skip
    return RolloutGroup(Prompt(**(said | changes)), (1, 2), tuple(members))


def write_step(
    folder: Path, step: int, groups: Sequence[RolloutGroup], advantages: Sequence[float | None] | None = None
) -> Path:
    """The rollout file of a step; ``advantages`` are those of each group's members, left out if None."""
    rows = [asdict(one) for one in groups]
    for row in rows:
        for position, scored in enumerate(row["members"]):
            scored.pop("advantage", None)
            scored |= {"advantage": advantages[position]} if advantages is not None else {}
    path = folder / "rollouts" / f"step_{step:06d}.jsonl.zst"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(zstandard.ZstdCompressor().compress(text.encode()))
    return path


def mixed_groups(step: int) -> list[RolloutGroup]:
    """A step with a group of each kind, and four questions that are asked at every step."""
    right, wrong = RIGHT.format(f"step {step} wait"), WRONG.format(f"step {step}")
    return [
        group(f"{step}/all-right", [member(right)] * 4),
        group(f"{step}/all-wrong", [member(wrong, 0.0)] * 4, family="ordering"),
        group(f"{step}/mixed", [member(right), member(wrong, 0.0), member(wrong, 0.0), member(right)]),
        group(f"{step}/cut", [member("<think>on and on", 0.0, finish="length"), member(right), member(right)]),
        group(f"{step}/failed", [member(right, outcome="timeout", detail="accuracy: past 5 s"), member(right)]),
        *(group(f"again/{i}", [member(right), member(wrong, 0.0)], family="facts") for i in range(4)),
    ]
