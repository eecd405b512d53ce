"""The ``reward_model`` stage: check pairs and limits, train, measure, leave a folder that ``general`` takes."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from thinkwright.config.load import resolved_json
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import RecipeError
from thinkwright.models.policy import Policy
from thinkwright.models.reward_model import Reading, RewardModel, start_reward_model
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.record import choose_machine, record_data, record_end
from thinkwright.pipeline.training import trained
from thinkwright.run_folder import check_run_folder
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.preference_data import load_preference_data
from thinkwright.training.reward_model import RewardModelTrainer
from thinkwright.training.trainer import Train, train_to_end


def run_reward_model(
    recipe: RewardModelRecipe, folder: Path, *, resume: bool, argv: list[str], ranks: Ranks, train: Train = train_to_end
) -> dict[str, Any]:
    """Run or resume; returns what ``summary.json`` holds. Bad input is refused before the folder is touched."""
    started = time.monotonic()
    ranks.on_first(lambda: check_run_folder(folder, resolved_json(recipe), resume=resume))
    device, dtype = choose_machine(recipe.machine, folder, resume=resume, ranks=ranks)
    reading = Reading(recipe.template, recipe.reads, recipe.loss)
    model = start_reward_model(resolve_model_name(recipe.model), reading, device=device, dtype=dtype, seed=recipe.seed)
    check_context(recipe, model.policy)
    data = load_preference_data(recipe, model)
    trainer = RewardModelTrainer(recipe, model, data, folder, started, ranks)
    if recipe.warmup_steps >= trainer.num_steps:
        raise RecipeError(f"warmup_steps: {recipe.warmup_steps} leaves nothing of {trainer.num_steps} steps; lower it")
    scale: list[tuple[float, float]] = []

    def train_and_measure(trainer: RewardModelTrainer, display: Display, stop: StopRequest) -> None:
        train(trainer, display, stop)
        if trainer.is_done:
            scale.append(trainer.scale())

    summary = trained(
        trainer,
        recipe,
        model.policy,
        resume=resume,
        argv=argv,
        train=train_and_measure,
        record=lambda: record_data(folder, data.digest(), data.report),
        notes=data.notes(),
    )
    summary |= {"planned_steps": trainer.num_steps, "pairs": len(data.training)}
    if ranks.is_first:
        if scale:
            _save(model, scale[0], folder)
        record_end(folder, model.policy, summary, save=False)
    return summary


def check_context(recipe: RewardModelRecipe, policy: Policy) -> None:
    """Raises RecipeError for texts that the model's context cannot hold."""
    if recipe.max_tokens > policy.max_positions:
        raise RecipeError(
            f"max_tokens: {recipe.max_tokens} is over the context of {recipe.model}, {policy.max_positions} tokens; "
            f"set max_tokens={policy.max_positions}"
        )


def _save(model: RewardModel, scale: tuple[float, float], folder: Path) -> None:
    mean, deviation = scale
    RewardModel(model.policy, replace(model.reading, mean=mean, deviation=deviation)).save(folder / "model")
