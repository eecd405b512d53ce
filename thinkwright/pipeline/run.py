"""Runs a recipe in a run folder, from the first check to the summary."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.evaluate import EvaluateRecipe
from thinkwright.config.kinds import Recipe, TrainingRecipe
from thinkwright.config.recipe import PretrainRecipe
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.config.sft import SFTRecipe
from thinkwright.distributed.ranks import Ranks, is_rank
from thinkwright.errors import ModelError
from thinkwright.models.reward_model import READING_FILE
from thinkwright.pipeline.distill import run_distill
from thinkwright.pipeline.evaluate import run_evaluate
from thinkwright.pipeline.mirror import mirrored
from thinkwright.pipeline.pretrain import run_pretrain
from thinkwright.pipeline.rejection import run_rejection
from thinkwright.pipeline.reward_model import run_reward_model
from thinkwright.pipeline.rl import run_rl
from thinkwright.pipeline.sft import run_sft
from thinkwright.pipeline.spread import (
    is_spread,
    launched_here,
    launched_on_ray,
    ranks_of,
    run_spread,
)
from thinkwright.run_folder import RECIPE_FILE
from thinkwright.run_lock import hold, release
from thinkwright.training.trainer import Train, train_to_end


def run_recipe(
    recipe: Recipe, folder: Path, *, resume: bool, argv: list[str], ray: str | None = None
) -> dict[str, Any]:
    """Run or resume; returns what ``summary.json`` holds. Bad input is refused before the folder is touched.

    If the recipe asks for several ranks, they are started here, unless this process is one of them; with ``ray``, the
    address of a cluster, they and all else run there.
    """
    refuse_reward_models(recipe)
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")):  # torchrun starts all ranks again when one has died
        resume = resume or (folder / RECIPE_FILE).is_file()
    if ray is not None:
        place = folder.resolve()
        return run_spread(
            lambda resume: launched_on_ray(ray, recipe, _run_here, place, resume, argv), folder, resume=resume
        )
    if is_spread(recipe) and not is_rank():
        return run_spread(lambda resume: launched_here(recipe, _run_here, folder, resume, argv), folder, resume=resume)
    return _run_here(recipe, folder, resume, argv)


def _run_here(recipe: Recipe, folder: Path, resume: bool, argv: list[str]) -> dict[str, Any]:
    """Run or resume in this process, which may be one of several ranks."""
    torch.set_num_threads(recipe.machine.threads)
    try:
        return _run_stage(recipe, folder, resume, argv)
    finally:
        release(folder)


def _run_stage(recipe: Recipe, folder: Path, resume: bool, argv: list[str]) -> dict[str, Any]:
    with ExitStack() as opened:
        ranks = opened.enter_context(ranks_of(recipe))
        if ranks.is_first and folder.is_dir():
            hold(folder)  # before anything is loaded beside the one who has it
        if ranks.is_first:
            opened.enter_context(mirrored(recipe, folder))
        if isinstance(recipe, PretrainRecipe):
            return run_pretrain(recipe, folder, resume=resume, argv=argv)
        if isinstance(recipe, RejectionRecipe):
            return run_rejection(recipe, folder, resume=resume, argv=argv)
        if isinstance(recipe, EvaluateRecipe):
            return run_evaluate(recipe, folder, resume=resume, argv=argv)
        return run_training(recipe, folder, resume=resume, argv=argv, ranks=ranks)


def run_training(
    recipe: TrainingRecipe, folder: Path, *, resume: bool, argv: list[str], ranks: Ranks, train: Train = train_to_end
) -> dict[str, Any]:
    """A stage of a kind that may be spread over ranks; ``train`` is what is done with its trainer."""
    if isinstance(recipe, SFTRecipe):
        return run_sft(recipe, folder, resume=resume, argv=argv, ranks=ranks, train=train)
    if isinstance(recipe, RewardModelRecipe):
        return run_reward_model(recipe, folder, resume=resume, argv=argv, ranks=ranks, train=train)
    if isinstance(recipe, DistillRecipe):
        return run_distill(recipe, folder, resume=resume, argv=argv, ranks=ranks, train=train)
    return run_rl(recipe, folder, resume=resume, argv=argv, ranks=ranks, train=train)


def refuse_reward_models(recipe: Recipe) -> None:
    """Raises ModelError where a language model is wanted and a reward model is given.

    It would load without a word: a head that writes, tied to the embeddings, is never missing.
    """
    wanted = {key: getattr(recipe, key, None) for key in ("model", "start", "teacher")}
    if isinstance(recipe, EvaluateRecipe):
        wanted = {f"models.{model.name}": model.model for model in recipe.models}
    for key, name in wanted.items():
        if isinstance(name, str) and (Path(name).expanduser() / READING_FILE).is_file():
            raise ModelError(f"{key}: {name} is a reward model, which writes nothing; give a language model")
