"""How long each phase of a measured run took, as functions of its tokens: what the simulator reckons with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinkwright.errors import RunFolderError
from thinkwright.run_folder import RECIPE_FILE, read_json, read_rollouts

_MIN_STEPS = 4


@dataclass(frozen=True)
class Phases:
    """Of one device that samples and one that trains; seconds."""

    decode: float
    """Of one token step of a running batch, however many rows it has."""
    row: float
    """Of each row in it, more."""
    prompts: float
    """Of a step's sampling apart from that: prompts and handing over."""
    update: float
    """Of a step's update apart from its tokens: the optimizer, the exchange of weights."""
    token: float
    """Of each token learned from, those of prompts too."""
    old_pass: float
    """Share of an update's passes that samples of other weights cost more: a forward pass of all but the first
    mini-batch, to three of all, one more with a reference policy and four with a critic, a backward pass counted as
    two."""
    other: float
    """Of a step beside both: late scores, files."""


@dataclass(frozen=True)
class StepTokens:
    """What a step sampled and learned from."""

    lengths: list[list[int]]
    """Tokens of each completion, by group."""
    learned: int
    """Tokens of groups that had something to teach, their prompts once."""
    learned_groups: int
    """How many groups that were."""


@dataclass(frozen=True)
class MeasuredRun:
    """Phases and lengths of a run."""

    phases: Phases
    steps: list[StepTokens]
    slots: int
    step_seconds: float
    """The mean of what steps took."""


def measure(run: Path) -> MeasuredRun:
    """Fit the phases to what an RL run left. Raises RunFolderError if it is none, or has too few steps."""
    rows, recipe = _rows(run), read_json(run / RECIPE_FILE)
    if recipe.get("type") != "rl" or len(rows) < _MIN_STEPS:
        raise RunFolderError(f"{run}: needs an RL run of {_MIN_STEPS} steps or more to measure phases from")
    if bound := recipe["rollout"].get("max_staleness", 0):
        raise RunFolderError(
            f"{run}: sampled asynchronously (rollout.max_staleness = {bound}), so its phases ran beside each other; "
            "measure them from a run without"
        )
    found = read_steps(run)
    longest = [max(map(max, step.lengths)) for step in found]
    tokens = [sum(map(sum, step.lengths)) for step in found]
    sampling = _fit([[1.0, n, t] for n, t in zip(longest, tokens, strict=True)], _series(rows, "time/rollout_seconds"))
    update = _fit([[1.0, step.learned] for step in found], _series(rows, "time/update_seconds"))
    steps = _series(rows, "time/step_seconds")
    known = [row["time/rollout_seconds"] + row["time/update_seconds"] for row in rows]
    phases = Phases(
        decode=sampling[1],
        row=sampling[2],
        prompts=sampling[0],
        update=update[0],
        token=update[1],
        old_pass=(1 - 1 / recipe["algorithm"]["mini_batches"])
        / (3 + (recipe["algorithm"]["kl_coef"] > 0) + 4 * (recipe.get("critic") is not None)),
        other=float(np.median(np.array(steps) - np.array(known))),
    )
    slots = recipe["rollout"].get("slots", 256)
    return MeasuredRun(phases, found, slots, float(np.mean(steps)))


def _step_tokens(groups: Sequence[dict[str, Any]]) -> StepTokens:
    rollouts = [[member["rollout"] for member in group["members"]] for group in groups]
    lengths = [[len(own["token_ids"]) for own in members if not own.get("is_taught")] for members in rollouts]
    is_learned = [any(member["advantage"] is not None for member in group["members"]) for group in groups]
    learned = sum(
        len(group["prompt_ids"]) + sum(len(own["token_ids"]) for own in members)
        for group, members, counts in zip(groups, rollouts, is_learned, strict=True)
        if counts
    )
    return StepTokens(lengths, learned, sum(is_learned))


def read_steps(run: Path) -> list[StepTokens]:
    """Of every step of an RL run. Raises RunFolderError if it is none, or has none."""
    if not (run / "rollouts").is_dir() or not (rows := _rows(run)):
        raise RunFolderError(f"{run}: no folder of an RL run that has made a step")
    return [_step_tokens(read_rollouts(run / "rollouts" / f"step_{row['step']:06d}.jsonl.zst")) for row in rows]


def mean_response_tokens(run: Path) -> float | None:
    """Of a run whose steps tell it; None of any other folder."""
    rows = _rows(run) if (run / "metrics.jsonl").is_file() else []
    found = [row["rollout/response_tokens"] for row in rows if "rollout/response_tokens" in row]
    return float(np.mean(found)) if found else None


def _rows(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise RunFolderError(f"{run}: no run folder (metrics.jsonl is missing); give one of an RL run")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _series(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows]


def _fit(columns: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Least squares with no coefficient below 0: those that would be are left out, the largest first."""
    matrix, wanted = np.array(columns), np.array(seconds)
    used = list(range(matrix.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(matrix[:, used], wanted, rcond=None)
        negative = [(float(value), place) for value, place in zip(found, used, strict=True) if value < 0]
        if not negative:
            break
        used.remove(min(negative)[1])
    result = [0.0] * matrix.shape[1]
    for value, place in zip(found, used, strict=True):
        result[place] = float(value)
    return result
