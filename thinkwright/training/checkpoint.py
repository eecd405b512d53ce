"""Checkpoints of an RL run: the next step to run, and everything needed to run it as if nothing had happened.

A checkpoint is a folder ``step_000020`` that appears under its name only when complete. Prompts and sampling are
derived from (seed, step), so no generator state needs saving.
"""

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from thinkwright.errors import ModelError, RunFolderError

STATE_FILE = "state.pt"
KEPT = 2


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    next_step: int
    policy_version: int
    rollout_tokens: int
    wall_seconds: float
    curriculum: dict[str, Any] | None = None
    """What the curriculum knows of its prompts, if there is one."""


def save_checkpoint(
    folder: Path, progress: Progress, optimizer: dict[str, Any], reference: dict[str, Any] | None
) -> Path:
    """Write ``folder/step_<next_step>`` whole or not at all, then drop all but the newest checkpoints.

    A checkpoint of that step that is there already stays: the same run gives the same state.
    """
    target = folder / f"step_{progress.next_step:06d}"
    if target.exists():
        return target
    partial = folder / f".{target.name}.partial"
    state = {"progress": progress.__dict__, "optimizer": optimizer, "reference": reference}
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with open(partial / STATE_FILE, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunFolderError(
            f"{target}: cannot write the checkpoint ({error}); free space there, then --resume"
        ) from error
    for old in sorted(folder.glob("step_*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_newest_checkpoint(folder: Path) -> tuple[Progress, dict[str, Any], dict[str, Any] | None] | None:
    """Progress, optimizer state and reference weights of the newest checkpoint; None if there is none."""
    found = sorted(folder.glob("step_*"))
    if not found:
        return None
    try:
        state = torch.load(found[-1] / STATE_FILE, map_location="cpu", weights_only=True)
        return Progress(**state["progress"]), state["optimizer"], state["reference"]
    except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise RunFolderError(f"{found[-1]}: damaged checkpoint ({error}); delete this folder and --resume") from error


def load_checkpoint_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The fp32 weights of one checkpoint by their names in the model. Raises ModelError if there are none."""
    try:
        return torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)["optimizer"]["masters"]
    except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise ModelError(f"{folder}: no checkpoint, or a damaged one ({error}); give another") from error
