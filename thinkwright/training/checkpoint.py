"""Checkpoints: the next step to run, and everything needed to run it as if nothing had happened.

A checkpoint is a folder ``step_000020`` that appears under its name only when complete: safetensors files, one for each
rank with its part of every tensor (torch's distributed checkpoint, so that any number of ranks can take it up), and
``progress.json``. Prompts and sampling are derived from (seed, step), so no generator state needs saving.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import ModelError, RunFolderError
from thinkwright.run_folder import write_json_atomic
from thinkwright.training.optimizer import MASTERS

PROGRESS_FILE = "progress.json"
KEPT = 2
_READING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError, CheckpointException)


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    next_step: int
    policy_version: int
    rollout_tokens: int
    wall_seconds: float
    curriculum: dict[str, Any] | None = None
    """What the curriculum knows of its prompts, if there is one."""


def save_checkpoint(folder: Path, progress: Progress, tensors: Mapping[str, Tensor], ranks: Ranks = SINGLE) -> Path:
    """Write ``folder/step_<next_step>`` whole or not at all, then drop all but the newest checkpoints.

    A checkpoint of that step that is there already stays: the same run gives the same state. All ranks take part.
    """
    target = folder / f"step_{progress.next_step:06d}"
    if ranks.first(target.exists()):
        return target
    partial = folder / f".{target.name}.partial"
    try:
        if ranks.is_first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        ranks.meet()
        writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
        with _knowingly_alone():
            save(dict(tensors), storage_writer=writer, process_group=ranks.group, no_dist=ranks.size == 1)
        if ranks.is_first:
            write_json_atomic(partial / PROGRESS_FILE, asdict(progress))
            os.replace(partial, target)
    except (OSError, RuntimeError, SafetensorError, CheckpointException) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunFolderError(
            f"{target}: cannot write the checkpoint ({error}); free space there, then --resume"
        ) from error
    if ranks.is_first:
        for old in sorted(folder.glob("step_*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    ranks.meet()
    return target


def newest_checkpoint(folder: Path) -> tuple[Progress, Path] | None:
    """Where the run stood at the newest checkpoint, and its folder; None if there is none."""
    found = sorted(folder.glob("step_*"))
    if not found:
        return None
    try:
        return Progress(**json.loads((found[-1] / PROGRESS_FILE).read_text(encoding="utf-8"))), found[-1]
    except _READING_ERRORS as error:
        raise _damaged(found[-1], error) from error


def read_tensors(checkpoint: Path, into: Mapping[str, Tensor], ranks: Ranks = SINGLE) -> None:
    """Fill the tensors in place, each rank its part, whatever number of ranks wrote them. Raises RunFolderError."""
    try:
        _load(checkpoint, into, ranks)
    except _READING_ERRORS as error:
        raise _damaged(checkpoint, error) from error


def load_checkpoint_weights(folder: Path) -> dict[str, Tensor]:
    """The fp32 weights of one checkpoint by their names in the model. Raises ModelError if there are none."""
    try:
        metadata: Any = HuggingFaceStorageReader(str(folder)).read_metadata()
        weights = {
            name: torch.empty(found.size, dtype=found.properties.dtype)
            for name, found in metadata.state_dict_metadata.items()
            if name.startswith(MASTERS)
        }
        if not weights:
            raise ValueError("it holds no weights")
        _load(folder, weights, SINGLE)
    except _READING_ERRORS as error:
        raise ModelError(f"{folder}: no checkpoint, or a damaged one ({error}); give another") from error
    return {name.removeprefix(MASTERS): weight for name, weight in weights.items()}


def _load(checkpoint: Path, into: Mapping[str, Tensor], ranks: Ranks) -> None:
    reader = HuggingFaceStorageReader(str(checkpoint))
    with _knowingly_alone():
        load(dict(into), storage_reader=reader, process_group=ranks.group, no_dist=ranks.size == 1)


@contextmanager
def _knowingly_alone() -> Iterator[None]:
    """Without the warning that one process saves or loads by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _damaged(checkpoint: Path, error: BaseException) -> RunFolderError:
    return RunFolderError(f"{checkpoint}: damaged checkpoint ({error}); delete this folder and --resume")
