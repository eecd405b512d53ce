"""Runs whose training is spread over several processes: starting them, meeting, and going on after one has died."""

import importlib.metadata
import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinkwright.config.kinds import Recipe
from thinkwright.config.recipe import TrainingMachine, TrainingRollout
from thinkwright.distributed.ranks import PACKAGES, SINGLE, Ranks, joined_ranks
from thinkwright.errors import RanksError
from thinkwright.run_folder import RECIPE_FILE

MAX_DEATHS = 3
"""So many times a run is taken up again without a new checkpoint between; then something is wrong with it."""


def is_spread(recipe: Recipe) -> bool:
    """Whether the recipe asks for more than one rank."""
    return num_ranks(recipe) > 1


def run_spread(launch: Callable[[bool], dict[str, Any]], folder: Path, *, resume: bool) -> dict[str, Any]:
    """Let ``launch`` start the recipe's ranks; returns what the first returned. It is told whether to resume.

    When a rank is killed or lost, all are started again from the newest checkpoint. Raises RanksError if one ended
    with an error, or if ranks die again and again.
    """
    from thinkwright.distributed.launch import RankDiedError

    deaths, newest = 0, _newest(folder)
    while True:
        try:
            return launch(resume)
        except RankDiedError as error:
            deaths = deaths + 1 if _newest(folder) == newest else 1
            newest, resume = _newest(folder), (folder / RECIPE_FILE).is_file()
            if deaths == MAX_DEATHS:
                raise RanksError(f"{folder}: {error}, for the {deaths}th time since {newest or 'the start'}") from error
            print(f"{error}; all start again from {newest or 'the beginning'}", file=sys.stderr, flush=True)


def launched_here(recipe: Recipe, run: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Start the recipe's ranks on this machine; each calls ``run(recipe, *arguments)``."""
    from thinkwright.distributed.launch import run_ranks

    return run_ranks(num_ranks(recipe), run, recipe, *arguments)


def launched_on_ray(
    address: str, recipe: Recipe, run: Callable[..., dict[str, Any]], *arguments: Any
) -> dict[str, Any]:
    """Start the recipe's ranks on the Ray cluster at an address. Raises RanksError if that has too little."""
    from thinkwright.distributed.ray_cluster import Needs, check_resources, has_gpus, join_cluster
    from thinkwright.distributed.ray_ranks import run_ray_ranks

    join_cluster(address)
    machine, size = recipe.machine, num_ranks(recipe)
    gpus_each = float(machine.device.startswith("cuda") or (machine.device == "auto" and has_gpus()))
    cpus_each = 1.0 if gpus_each else float(machine.threads)
    rollout = getattr(recipe, "rollout", None)
    engines = rollout.engines if isinstance(rollout, TrainingRollout) else None
    rewards = getattr(recipe, "rewards", None)
    workers = sum(num_graders(rewards.workers, rollout, rank == 0) for rank in range(size)) if rewards else 0
    engine_cpus = (engines.threads or machine.threads) if engines is not None and not gpus_each else 0
    words = [f"{size} trainer ranks (machine.ranks)", f"{workers} reward workers (rewards.workers, of each rank)"]
    if engines is not None:
        words.append("one rollout engine at least (rollout.engines)")
    gpus = gpus_each * (size + (engines is not None))
    check_resources(Needs(cpus_each * size + workers + engine_cpus, gpus, ", ".join(words)))
    return run_ray_ranks(size, cpus_each, gpus_each, run, recipe, *arguments)


def num_graders(workers: int, rollout: Any, is_first: bool) -> int:
    """Graders of one rank on Ray: where others sample, the first rank has all the grading to do, but of evaluations."""
    is_led = isinstance(rollout, TrainingRollout) and rollout.samples_apart
    return workers if is_first or not is_led else 1


def num_ranks(recipe: Recipe) -> int:
    """Trainer processes that the recipe asks for."""
    return recipe.machine.ranks if isinstance(recipe.machine, TrainingMachine) else 1


def _newest(folder: Path) -> str | None:
    return max((path.name for path in folder.glob("checkpoints/step_*")), default=None)


@contextmanager
def ranks_of(recipe: Recipe) -> Iterator[Ranks]:
    """This process's place among the recipe's ranks. Raises RanksError as ``joined_ranks``."""
    machine = recipe.machine
    if not isinstance(machine, TrainingMachine):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise RanksError(f"a {recipe.type} stage runs in one process; start it without torchrun")
        yield SINGLE
        return
    facts = {package: importlib.metadata.version(package) for package in PACKAGES} | {
        "python": platform.python_version()
    }
    with joined_ranks(machine.ranks, machine.deadline_seconds, facts) as ranks:
        yield ranks


def check_is_shared(folder: Path, ranks: Ranks) -> None:
    """Raises RanksError, on every rank, unless all see the run folder that the first has made."""
    ranks.meet()
    found = ranks.gather((socket.gethostname(), (folder / RECIPE_FILE).is_file()))
    blind = [f"rank {rank} on {host}" for rank, (host, sees_it) in enumerate(found) if not sees_it]
    if blind:
        raise RanksError(
            f"{folder.resolve()}: {', '.join(blind)} cannot see it; give --out a folder on a disk that all nodes share"
        )
