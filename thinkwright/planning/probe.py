"""Two steps of a recipe, measured on the machine at hand: one as it would be made, one of the expected lengths.

The recipe itself is run in a process of its own (or so many ranks as it asks for), in a folder that is thrown away; all
that a run checks before its first step is checked. What takes seconds only is repeated, so that one slow moment does
not decide.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.distributed.launch import die_with_parent
from thinkwright.pipeline.run import refuse_reward_models, run_training
from thinkwright.pipeline.spread import is_spread, launched_here, ranks_of
from thinkwright.planning.expected import Expected
from thinkwright.planning.measured import Measured
from thinkwright.planning.probe_rl import measure_rl
from thinkwright.planning.probe_steps import measure_steps
from thinkwright.run_folder import read_json, write_json_atomic
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.rl import RLTrainer
from thinkwright.training.trainer import Trainer

FILE = "probe.json"


def probe(recipe: TrainingRecipe, expected: Expected) -> Measured:
    """Run and measure. Raises whatever the run itself would raise before its first step, or in it."""
    refuse_reward_models(recipe)
    changes: dict[str, Any] = {"mirror": None}
    if isinstance(recipe, RLRecipe):  # steps ahead of the measured one would disturb it
        changes["rollout"] = recipe.rollout.model_copy(update={"max_staleness": 0})
    recipe = recipe.model_copy(update=changes)
    with tempfile.TemporaryDirectory(prefix="thinkwright-plan-") as place:
        folder = Path(place) / "run"
        if is_spread(recipe):
            launched_here(recipe, _measure_here, folder, expected)
        else:
            context = get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context, initializer=die_with_parent) as process:
                process.submit(_measure_here, recipe, folder, expected).result()
        return Measured(**read_json(folder / FILE))


def _measure_here(recipe: TrainingRecipe, folder: Path, expected: Expected) -> dict[str, Any]:
    torch.set_num_threads(recipe.machine.threads)
    with ranks_of(recipe) as ranks:
        measure = partial(_measure, folder=folder, expected=expected)
        return run_training(recipe, folder, resume=False, argv=["plan"], ranks=ranks, train=measure)


def _measure(trainer: Trainer, display: Display, stop: StopRequest, *, folder: Path, expected: Expected) -> None:
    silent = Display(is_shown=False)
    measured = (
        measure_rl(trainer, silent, expected)
        if isinstance(trainer, RLTrainer)
        else measure_steps(trainer, silent, expected)
    )
    if trainer.ranks.is_first:
        write_json_atomic(folder / FILE, asdict(measured))
