"""Writes checkpoints, models and exports on a disk with too little room, which test_full_disk.py makes."""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from thinkwright.errors import RunFolderError
from thinkwright.export.run_export import Wanted, export_model
from thinkwright.models.policy import load_policy
from thinkwright.training.checkpoint import Progress, newest_checkpoint, save_checkpoint


def main() -> None:
    """``full_disk_work.py MODEL_FOLDER DISK``: tells, for each room and writer, what it raised and what is left."""
    gc.freeze()  # the libraries are no garbage: looking through them takes most of the time
    model, disk = Path(sys.argv[1]), Path(sys.argv[2])
    policy = load_policy(str(model), device=torch.device("cpu"), dtype=torch.float32)
    tensors = {"masters/a": torch.arange(100_000.0), "exp_avg/a": torch.arange(100_000.0)}
    save_checkpoint(disk / "checkpoints", Progress(1, 1, 0, 0.0), tensors)
    writers: dict[str, Callable[[], object]] = {
        "checkpoint": lambda: save_checkpoint(disk / "checkpoints", Progress(2, 2, 0, 0.0), tensors),
        "model": lambda: policy.save(disk / "model"),
        "hf": lambda: export_model(Wanted(str(model), "hf", out=disk / "hf", template="r1_zero")),
        "gguf": lambda: export_model(Wanted(str(model), "gguf", out=disk / "gguf", template="r1_zero")),
    }
    for room in (0, 20_000, 100_000, 150_000):
        for name, write in writers.items():
            print(json.dumps({"room": room, "writer": name} | attempt(disk, room, write)))
    # Just enough for the tensors: it is what comes after them that finds no room.
    size = sum(path.stat().st_size for path in (disk / "checkpoints/step_000001").glob("*.safetensors"))
    room = -(-size // 4096) * 4096
    print(json.dumps({"room": room, "writer": "progress"} | attempt(disk, room, writers["checkpoint"])))


def attempt(disk: Path, room: int, write: Callable[[], object]) -> dict[str, object]:
    """What it raised; what stands on the disk besides the old checkpoint; whether that can still be taken up."""
    gc.collect()  # files that were deleted while they were mapped still take room
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(bytes(free - room))
    try:
        write()
        raised = ""
    except RunFolderError as error:
        raised = str(error)
    (disk / "ballast").unlink()
    found = newest_checkpoint(disk / "checkpoints")
    left = sorted(str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file())
    old = {f"checkpoints/step_000001/{path.name}" for path in (disk / "checkpoints/step_000001").iterdir()}
    return {
        "raised": raised,
        "left": [name for name in left if name not in old],
        "step": found.progress.next_step if found is not None else None,
    }


if __name__ == "__main__":
    main()
