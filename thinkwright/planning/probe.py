"""Two steps of a recipe, measured on the machine at hand: one as it would be made, one of the expected lengths.

The recipe itself is run in a process of its own (or so many ranks as it asks for), in a folder that is thrown away; all
that a run checks before its first step is checked. What takes seconds only is repeated, so that one slow moment does
not decide.
"""

import signal
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.distributed.launch import RankDiedError, die_with_parent
from thinkwright.errors import ModelError
from thinkwright.pipeline.run import refuse_reward_models, run_training
from thinkwright.pipeline.spread import is_spread, launched_here, ranks_of
from thinkwright.planning.expected import Expected
from thinkwright.planning.measured import Measured
from thinkwright.planning.memory import standing_parts
from thinkwright.planning.probe_rl import measure_rl
from thinkwright.planning.probe_steps import measure_steps
from thinkwright.planning.shape import size_of
from thinkwright.run_folder import read_json, write_json_atomic
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.rl import RLTrainer
from thinkwright.training.trainer import Trainer

FILE = "probe.json"


def probe(recipe: TrainingRecipe, expected: Expected) -> Measured:
    """Run and measure. Raises whatever the run itself would raise before its first step, or in it."""
    refuse_reward_models(recipe)
    changes: dict[str, Any] = {"mirror": None}
    if isinstance(recipe, RLRecipe):
        # Completions of made-up lengths teach nothing, so all of them would be refilled.
        changes["rollout"] = recipe.rollout.model_copy(update={"refill_rounds": 0})
    recipe = recipe.model_copy(update=changes)
    # Beside the runs: checkpoints are as large there, and servers elsewhere must see the weights.
    with tempfile.TemporaryDirectory(prefix=".thinkwright-plan-", dir=Path.cwd()) as place:
        folder = Path(place) / "run"
        try:
            _launch(recipe, folder, expected)
        except (torch.OutOfMemoryError, BrokenProcessPool, RankDiedError) as error:
            raise ModelError(_too_large(recipe, error)) from error
        return Measured(**read_json(folder / FILE))


def _launch(recipe: TrainingRecipe, folder: Path, expected: Expected) -> None:
    if is_spread(recipe):
        launched_here(recipe, _measure_here, folder, expected)
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=die_with_parent) as process:
        process.submit(_measure_here, recipe, folder, expected).result()


def _too_large(recipe: TrainingRecipe, error: Exception) -> str:
    """What to say when a probe was killed or ran out of memory."""
    parts = standing_parts(recipe, size_of(recipe.model), itemsize=2)
    least = ", ".join(f"{name} {value / 1e9:.1f} GB" for name, value in parts.items())
    return (
        f"the probe ran out of memory, or was killed ({type(error).__name__}: {str(error).splitlines()[0]}). In bf16 a "
        f"trainer holds at least {least}; lower micro_batch_tokens, rollout.slots or memory_gb, raise machine.ranks, "
        "train adapters ([lora]), or plan for other devices with --hardware"
    )


def _measure_here(recipe: TrainingRecipe, folder: Path, expected: Expected) -> dict[str, Any]:
    torch.set_num_threads(recipe.machine.threads)
    with ranks_of(recipe) as ranks:
        measure = partial(_measure, folder=folder, expected=expected)
        return run_training(recipe, folder, resume=False, argv=["plan"], ranks=ranks, train=measure)


def _measure(trainer: Trainer, display: Display, stop: StopRequest, *, folder: Path, expected: Expected) -> None:
    # A run would finish its step; a probe that is stopped is worth nothing, but what it has opened must be closed.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    silent = Display(is_shown=False)
    measured = (
        measure_rl(trainer, silent, expected)
        if isinstance(trainer, RLTrainer)
        else measure_steps(trainer, silent, expected)
    )
    if trainer.ranks.is_first:
        write_json_atomic(folder / FILE, asdict(measured))
