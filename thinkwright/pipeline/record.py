"""Records where and with what a run started."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import Machine, TrainingMachine
from thinkwright.distributed.ranks import SINGLE, Ranks, own_device
from thinkwright.errors import RunFolderError
from thinkwright.models.adapters import whole_adapters, write_adapter
from thinkwright.models.policy import Policy, choose_device, choose_dtype
from thinkwright.models.shipped import resolve_model_name
from thinkwright.run_folder import append_event, environment, read_json, write_json_atomic
from thinkwright.tasks.task import Task
from thinkwright.training.interrupt import PREEMPTED, StopRequest
from thinkwright.types import Prompt

INTERRUPTED = "interrupted"
FINISHED = "finished"


def choose_machine(
    machine: Machine, folder: Path, *, resume: bool, ranks: Ranks = SINGLE
) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of a run; a resumed one keeps the dtype it began with, since ``auto`` measures.

    Each rank gets a GPU of its own; all get one dtype. Raises RanksError if there are too few GPUs.
    """
    device, path = choose_device(machine.device), folder / "environment.json"
    if ranks.size > 1:
        device = own_device(device)
    recorded = read_json(path)["dtype"] if resume and path.exists() else machine.dtype
    return device, ranks.on_first(lambda: choose_dtype(recorded, device))


def record_data(folder: Path, digest: str, report: dict[str, Any]) -> None:
    """Write ``data.json``: what was loaded and left out, and a digest of every row.

    Raises RunFolderError if the run began with other data: a resumed run must not go on with changed files.
    """
    path = folder / "data.json"
    if path.exists() and (before := read_json(path).get("digest")) != digest:
        raise RunFolderError(
            f"{path}: the run began with other data (digest {before}, now {digest}): a file, Hub set, THINKWRIGHT_DATA"
            ", a file of pass rates or a reward model has changed; put back what it began with, or --out another folder"
        )
    write_json_atomic(path, report | {"digest": digest})


def task_digest(task: Task) -> str:
    """Of the ids, texts, golds and references of all prompts."""
    return prompts_digest(task.all_prompts())


def prompts_digest(prompts: Iterable[Prompt]) -> str:
    """Of their ids, texts, golds and references, in whatever order they come."""
    rows = sorted(json.dumps([prompt.prompt_id, prompt.text, prompt.gold, prompt.reference]) for prompt in prompts)
    return joint_digest(rows)


def joint_digest(lines: Iterable[str]) -> str:
    """One digest of several lines, such as the digests of several sets."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def record_start(folder: Path, policy: Policy, machine: Machine, argv: list[str], *, resume: bool) -> None:
    """Write ``environment.json`` unless a resumed run has it already; either way an event is added."""
    found = environment(argv, str(policy.device), str(policy.dtype).removeprefix("torch."), machine.threads)
    if isinstance(machine, TrainingMachine) and machine.ranks > 1:
        found["ranks"] = machine.ranks
    if not (folder / "environment.json").exists():
        write_json_atomic(folder / "environment.json", found)
    append_event(folder, "resumed" if resume else "started", **found)


def ending(is_done: bool, stop: StopRequest, ranks: Ranks = SINGLE) -> dict[str, str]:
    """What a summary begins with: whether the run came to its end, and which signal was to stop it, if one came to any
    rank. All ranks come."""
    found = {"status": FINISHED if is_done else INTERRUPTED}
    signals = {name for name in ranks.gather(stop.stopped_by) if name is not None}
    return found | ({"stopped_by": PREEMPTED if PREEMPTED in signals else signals.pop()} if signals else {})


def record_trained(
    folder: Path, recipe: TrainingRecipe, policy: Policy, learner: Policy, summary: dict[str, Any], ranks: Ranks
) -> None:
    """What ``record_end`` leaves; of a finished run with adapters also these, ``adapter/``, beside the model with them
    merged. All ranks come."""
    if recipe.lora is not None and summary["status"] == FINISHED:
        tensors = whole_adapters(learner)
        if ranks.is_first:
            write_adapter(learner, tensors, folder / "adapter", resolve_model_name(recipe.model))
    if ranks.is_first:
        record_end(folder, policy, summary)


def record_end(folder: Path, policy: Policy, summary: dict[str, Any], *, save: bool = True) -> None:
    """Leave the model of a finished run, the summary, and an event.

    The summary is given the figures of the first evaluation, and of the last with its step if that is another.
    ``save=False``: the model is there already.
    """
    found = [read_json(path) for path in sorted((folder / "eval").glob("step_*.json"))]
    if summary["status"] == FINISHED and save:
        policy.save(folder / "model")
    if found:
        summary["before"] = found[0]["figures"]
    if len(found) > 1:
        summary |= {"after": found[-1]["figures"], "after_step": found[-1]["step"]}
    write_json_atomic(folder / "summary.json", summary)
    append_event(folder, summary["status"])
