"""Records where and with what a run started."""

import json
import time
from pathlib import Path

import torch

from thinkwright.config.recipe import Machine
from thinkwright.models.policy import Policy, choose_device, choose_dtype
from thinkwright.run_folder import append_jsonl, environment, write_json_atomic


def choose_machine(machine: Machine, folder: Path, *, resume: bool) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of a run; a resumed one keeps the dtype it began with, since ``auto`` measures."""
    device, path = choose_device(machine.device), folder / "environment.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))["dtype"] if resume and path.exists() else machine.dtype
    return device, choose_dtype(recorded, device)


def record_start(folder: Path, policy: Policy, threads: int, argv: list[str], *, resume: bool) -> None:
    """Write ``environment.json`` unless a resumed run has it already; either way an event is added."""
    found = environment(argv, str(policy.device), str(policy.model.dtype).removeprefix("torch."), threads)
    if not (folder / "environment.json").exists():
        write_json_atomic(folder / "environment.json", found)
    append_jsonl(folder / "events.jsonl", {"time": time.time(), "event": "resumed" if resume else "started", **found})
