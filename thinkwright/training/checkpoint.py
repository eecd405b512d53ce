"""Checkpoints: the next step to run, and everything needed to run it as if nothing had happened.

A checkpoint is a folder ``step_000020`` that appears under its name only when complete: safetensors files, one for each
rank with its part of every tensor (torch's distributed checkpoint, so that any number of ranks can take it up),
``progress.json``, and ``SHA256SUMS`` of them all. Prompts and sampling are derived from (seed, step), so no generator
state needs saving.
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
from torch.distributed.tensor import DTensor

from thinkwright.config.checkpointed import KeptCheckpoints
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import ModelError, RunFolderError, TrainingError
from thinkwright.run_folder import append_event, sync_folder, write_json_atomic
from thinkwright.training.checkpoint_files import DAMAGED, drop_old, look, move_aside, write_sums
from thinkwright.training.optimizer import MASTERS

PROGRESS_FILE = "progress.json"
DEFAULT_KEPT = KeptCheckpoints()
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


@dataclass(frozen=True)
class FoundCheckpoint:
    """Where a run goes on."""

    progress: Progress
    path: Path
    notes: tuple[str, ...] = ()
    """What a person should know: newer checkpoints that were damaged."""


def save_checkpoint(
    folder: Path,
    progress: Progress,
    tensors: Mapping[str, Tensor],
    ranks: Ranks = SINGLE,
    kept: KeptCheckpoints = DEFAULT_KEPT,
) -> Path:
    """Write ``folder/step_<next_step>`` whole or not at all, with a checksum of every file, then drop the older ones
    that need not be ``kept``.

    A checkpoint of that step that is there already stays: the same run gives the same state. All ranks take part.
    Raises TrainingError if a tensor holds what is not finite, RunFolderError if it cannot be written.
    """
    target = folder / f"step_{progress.next_step:06d}"
    if ranks.first(target.exists()):
        return target
    _check_finite(tensors, target, ranks)
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
        ranks.meet()  # before any lists the files: those that are being written have other names
        write_sums(partial, ranks)
        if ranks.is_first:
            os.replace(partial, target)
            sync_folder(folder)
    except (OSError, RuntimeError, SafetensorError, CheckpointException, RunFolderError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunFolderError(
            f"{target}: cannot write the checkpoint ({_cause(error)}); free space there, then --resume"
        ) from error
    if ranks.is_first:
        drop_old(folder, kept)
    ranks.meet()
    return target


def newest_checkpoint(folder: Path, ranks: Ranks = SINGLE) -> FoundCheckpoint | None:
    """Where the run stood at the newest whole checkpoint; None if there has never been one. All ranks come.

    Newer ones that are damaged are set aside under another name, and told of. Raises RunFolderError if all are, until
    they are taken away; or, nothing being moved, if one cannot be read at all.
    """
    notes: list[str] = []
    for name in reversed(ranks.on_first(lambda: sorted(path.name for path in folder.glob("step_*")))):
        looks = ranks.gather(look(folder / name, ranks.rank, ranks.size))
        if unreadable := next((found.unreadable for found in looks if found.unreadable), None):
            raise RunFolderError(f"{folder / name}: cannot be read ({unreadable}); mend the disk, then --resume")
        problem = next((found.damage for found in looks if found.damage), None)
        if problem is None:
            progress = Progress(**json.loads((folder / name / PROGRESS_FILE).read_text(encoding="utf-8")))
            return FoundCheckpoint(progress, folder / name, tuple(notes))
        ranks.on_first(lambda name=name: move_aside(folder / name))
        notes.append(f"checkpoint {name} is damaged ({problem}); it is now {DAMAGED}{name} and may be deleted")
    if left := ranks.on_first(lambda: sorted(path.name for path in folder.glob(f"{DAMAGED}*"))):
        told = "; ".join(notes) or ", ".join(left)
        raise RunFolderError(
            f"{folder}: no checkpoint is whole ({told}); delete {folder / DAMAGED}* and --resume to begin at the first "
            "step"
        )
    return None


def tell_damage(folder: Path, found: FoundCheckpoint | None, display: Display) -> None:
    """Say, and leave as events of the run folder, which checkpoints a resumed run had to pass over."""
    for text in found.notes if found is not None else ():
        display.note(text)
        append_event(folder, "damaged_checkpoint", text=text)


def read_tensors(checkpoint: Path, into: Mapping[str, Tensor], ranks: Ranks = SINGLE) -> None:
    """Fill the tensors in place, each rank its part, whatever number of ranks wrote them. Raises RunFolderError."""
    try:
        _load(checkpoint, into, ranks)
    except _READING_ERRORS as error:
        raise _damaged(checkpoint, error) from error


def load_checkpoint_weights(folder: Path) -> dict[str, Tensor]:
    """The fp32 weights of one checkpoint by their names in the model. Raises ModelError if there are none."""
    try:
        found = look(folder)
        if problem := found.damage or found.unreadable:
            raise ValueError(problem)
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
        raise ModelError(f"{folder}: no checkpoint, or a damaged one ({_cause(error)}); give another") from error
    return {name.removeprefix(MASTERS): weight for name, weight in weights.items()}


def _check_finite(tensors: Mapping[str, Tensor], target: Path, ranks: Ranks) -> None:
    parts = {name: tensor.to_local() if isinstance(tensor, DTensor) else tensor for name, tensor in tensors.items()}
    own = next((name for name, part in parts.items() if not bool(part.isfinite().all())), None)
    if found := [name for name in ranks.gather(own) if name is not None]:
        raise TrainingError(
            f"{target}: {found[0]} holds values that are not finite, so no checkpoint is written; the one before is "
            "whole: begin another run from it (thinkwright export makes a model of it) with a lower learning rate"
        )


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
    return RunFolderError(f"{checkpoint}: damaged checkpoint ({_cause(error)}); delete this folder and --resume")


def _cause(error: BaseException) -> str:
    """What went wrong, without the traceback that torch makes part of its message."""
    failures = list(error.failures.values()) if isinstance(error, CheckpointException) else []
    return str(failures[0][0] if failures else error)
