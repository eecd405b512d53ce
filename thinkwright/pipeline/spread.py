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
from thinkwright.config.recipe import TrainingMachine
from thinkwright.distributed.ranks import SINGLE, Ranks, joined_ranks
from thinkwright.errors import RanksError
from thinkwright.run_folder import RECIPE_FILE

MAX_DEATHS = 3
"""So many times a run is taken up again without a new checkpoint between; then something is wrong with it."""
_PACKAGES = ("thinkwright", "torch", "transformers")


def is_spread(recipe: Recipe) -> bool:
    """Whether the recipe asks for more than one rank."""
    return isinstance(recipe.machine, TrainingMachine) and recipe.machine.ranks > 1


def run_spread(
    run: Callable[[Recipe, Path, bool, list[str]], dict[str, Any]],
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool,
    argv: list[str],
) -> dict[str, Any]:
    """Start the recipe's ranks here and let each call ``run``; returns what the first returned.

    When a rank is killed or lost, all are started again from the newest checkpoint. Raises RanksError if one ended
    with an error, or if ranks die again and again.
    """
    from thinkwright.distributed.launch import RankDiedError, run_ranks

    assert isinstance(recipe.machine, TrainingMachine), "is_spread was asked before"
    deaths, newest = 0, _newest(folder)
    while True:
        try:
            return run_ranks(recipe.machine.ranks, run, recipe, folder, resume, argv)
        except RankDiedError as error:
            deaths = deaths + 1 if _newest(folder) == newest else 1
            newest, resume = _newest(folder), (folder / RECIPE_FILE).is_file()
            if deaths == MAX_DEATHS:
                raise RanksError(f"{folder}: {error}, for the {deaths}th time since {newest or 'the start'}") from error
            print(f"{error}; all start again from {newest or 'the beginning'}", file=sys.stderr, flush=True)


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
    facts = {package: importlib.metadata.version(package) for package in _PACKAGES} | {
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
