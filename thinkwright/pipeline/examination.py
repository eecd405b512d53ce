"""What the command line's ``doctor`` and ``difficulty`` do: load what the recipe names, look, and show."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from thinkwright.config.kinds import Recipe
from thinkwright.config.pipeline import Pipeline
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import console_of_tables
from thinkwright.errors import RecipeError
from thinkwright.evaluation.difficulty import STEP, measure_difficulty
from thinkwright.models.policy import Policy, choose_device, choose_dtype, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.doctor.pipeline import examine_pipeline
from thinkwright.pipeline.doctor.report import as_record, print_checks, print_report
from thinkwright.pipeline.doctor.stages import Examiner
from thinkwright.pipeline.machine_check import examine_machine
from thinkwright.pipeline.rl_inputs import check_recipe
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import score_as_trained
from thinkwright.rollout.engine import SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import write_json_atomic
from thinkwright.tasks.exclusion import training_rows
from thinkwright.tasks.prompts import load_task


def examine_this_machine(out: Path | None) -> bool:
    """Show what this machine brings; whether everything that is needed is there."""
    checks = examine_machine()
    print_checks(console_of_tables(), "this machine", checks)
    if out is not None:
        write_json_atomic(out, {"checks": [asdict(check) for check in checks]})
    return all(check.status != "failed" for check in checks)


def examine_recipe(name: str, recipe: Recipe, *, examine_all: bool, out: Path | None) -> bool:
    """Show what of a recipe of any kind can be looked at before it runs; whether a run may start.

    Raises what cannot be loaded.
    """
    console = console_of_tables()
    with console.status("examining"):
        report = Examiner(examine_all=examine_all).examine(recipe)
    print_report(console, name, report)
    if out is not None:
        write_json_atomic(out, as_record(report))
    return report.is_ok


def examine_stages(pipeline: Pipeline, *, examine_all: bool, out: Path | None) -> bool:
    """Show for each stage of a pipeline what can be looked at before it runs; whether all may start."""
    console, records, faulty = console_of_tables(), dict[str, dict[str, Any]](), list[str]()
    found = examine_pipeline(pipeline, Examiner(examine_all=examine_all))
    for number, stage in enumerate(pipeline.stages, 1):
        with console.status(f"examining stage {stage.name}"):
            name, report = next(found)
        print_report(console, f"stage {number}/{len(pipeline.stages)} {name} ({stage.table['type']})", report)
        console.print()
        records[name] = as_record(report)
        if not report.is_ok:
            faulty.append(name)
    if out is not None:
        write_json_atomic(out, {"is_ok": not faulty, "stages": records})
    console.print(f"stages with faults: {', '.join(faulty)}" if faulty else "no stage has a fault", highlight=False)
    return not faulty


def measure_recipe(recipe: Recipe, *, num_samples: int, out: Path) -> str:
    """Measure how often the recipe's model solves its training prompts; says what came of it."""
    recipe = _with_rewards(recipe)
    task = load_task(recipe.task, recipe.template)
    prompts = training_rows(task)
    if not prompts:
        raise RecipeError("difficulty: the task's questions are made anew for every step, so there are none to measure")
    policy = _load(recipe)
    engine = NativeEngine(policy, recipe.rollout.slots, recipe.rollout.memory_bytes)
    rollout = recipe.rollout
    settings = SamplingSettings(num_samples, rollout.max_response_tokens, rollout.temperature, recipe.seed, STEP)
    columns = TextColumn("prompts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with (
        WorkerPool(recipe.rewards.workers, isolation=recipe.rewards.program_isolation) as pool,
        Progress(*columns) as progress,
    ):
        check_recipe(recipe, policy, task, pool)
        bar = progress.add_task("", total=len(prompts))
        rows = measure_difficulty(
            engine,
            policy,
            prompts,
            settings,
            lambda groups: score_as_trained(groups, recipe, pool, coin_seed="difficulty"),
            recipe.model,
            out,
        )
        for done in rows:
            progress.update(bar, completed=done)
    return f"{out}: {len(prompts):,} prompts; use it as task.filters.pass_rates with min_pass_rate and max_pass_rate"


def _with_rewards(recipe: Recipe) -> RLRecipe:
    if not isinstance(recipe, RLRecipe):
        kinds = {"pretrain": "pre-training", "sft": "supervised fine-tuning", "distill": "distillation"}
        kind = kinds.get(recipe.type, "rejection sampling")
        raise RecipeError(f"a {kind} recipe has no rewards; name one of type rl, or none to check the machine")
    return recipe


def _load(recipe: RLRecipe) -> Policy:
    torch.set_num_threads(recipe.machine.threads)
    device = choose_device(recipe.machine.device)
    return load_policy(
        resolve_model_name(recipe.model), device=device, dtype=choose_dtype(recipe.machine.dtype, device)
    )
