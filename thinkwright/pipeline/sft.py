"""The ``sft`` stage: check rows and limits, fine-tune, measure before and after, leave a Hugging Face folder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.load import resolved_json
from thinkwright.config.sft import SFTRecipe
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import RecipeError
from thinkwright.evaluation.held_out import evaluate
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.record import choose_machine, record_data, record_trained, task_digest
from thinkwright.pipeline.training import trained
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import check_run_folder
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.training.sft import Measure, SFTTrainer
from thinkwright.training.sft_data import SFTData, load_sft_data
from thinkwright.training.trainer import Train, train_to_end


def run_sft(
    recipe: SFTRecipe, folder: Path, *, resume: bool, argv: list[str], ranks: Ranks, train: Train = train_to_end
) -> dict[str, Any]:
    """Run or resume; returns what ``summary.json`` holds. Bad input is refused before the folder is touched."""
    started = time.monotonic()
    ranks.on_first(lambda: check_run_folder(folder, resolved_json(recipe), resume=resume))
    device, dtype = choose_machine(recipe.machine, folder, resume=resume, ranks=ranks)
    policy = load_policy(resolve_model_name(recipe.model), device=device, dtype=dtype)
    task = load_task(recipe.task, recipe.template) if recipe.task is not None else None
    check_context(recipe, policy, task)
    data = load_rows(recipe, policy, task)
    with _measuring(recipe, policy, task, ranks) as measure:
        trainer = SFTTrainer(recipe, policy, data, folder, started, measure, ranks)
        _check_steps(recipe, trainer)
        notes = [*data.notes(), *(task.notes() if task is not None else ())]
        if recipe.held_out_share and not data.held_out:
            notes.append("data: no row fell to the held-out share, so no held-out loss is measured")
        record = partial(_record_rows, folder, data, task)
        summary = trained(trainer, recipe, policy, resume=resume, argv=argv, train=train, record=record, notes=notes)
    summary |= {"planned_steps": trainer.num_steps, "rows": len(data.training)}
    record_trained(folder, recipe, policy, trainer.learner, summary, ranks)
    return summary


def check_context(recipe: SFTRecipe, policy: Policy, task: Task | None) -> None:
    """Raises RecipeError for rows or responses that the model's context cannot hold."""
    context = policy.max_positions
    if recipe.max_tokens > context:
        raise RecipeError(
            f"max_tokens: {recipe.max_tokens} is over the context of {recipe.model}, {context} tokens; set "
            f"max_tokens={context} (longer rows are left out and listed), or take a model with a longer context"
        )
    if task is None:
        return
    longest = max(len(policy.encode(p.text)) for p in task.held_out)
    if longest + recipe.evaluation.max_response_tokens > context:
        raise RecipeError(
            f"evaluation.max_response_tokens: {recipe.evaluation.max_response_tokens} and the task's longest question "
            f"({longest} tokens) are over the context of {recipe.model}, {context} tokens; lower it"
        )


def load_rows(recipe: SFTRecipe, policy: Policy, task: Task | None) -> SFTData:
    """The rows that the run learns from and those that it holds out. Raises what ``load_sft_data`` raises."""
    return load_sft_data(
        recipe.data,
        TEMPLATES[recipe.template],
        policy,
        max_tokens=recipe.max_tokens,
        held_out_share=recipe.held_out_share,
        evaluated=[prompt.question for prompt in task.held_out] if task is not None else (),
    )


@contextmanager
def _measuring(recipe: SFTRecipe, policy: Policy, task: Task | None, ranks: Ranks) -> Iterator[Measure | None]:
    """What answers the task's held-out questions, with workers that grade; None without a task."""
    if task is None:
        yield None
        return
    engine, settings = NativeEngine(policy), recipe.evaluation
    with WorkerPool(isolation=recipe.program_isolation) as pool:
        yield lambda: evaluate(engine, policy, task.held_out, settings, settings.max_response_tokens, pool, ranks=ranks)


def _check_steps(recipe: SFTRecipe, trainer: SFTTrainer) -> None:
    if recipe.warmup_steps >= trainer.num_steps:
        raise RecipeError(
            f"warmup_steps: {recipe.warmup_steps} leaves nothing of the {trainer.num_steps} steps of the run "
            f"({len(trainer.data.training)} rows, {recipe.epochs} epochs, batches of {recipe.batch_size}); lower it"
        )


def _record_rows(folder: Path, data: SFTData, task: Task | None) -> None:
    """``data.json``; a task's own loading stands beside the rows'."""
    digest, report = data.digest(), data.report
    if task is not None:
        digest, report = f"{digest}-{task_digest(task)}", report | {"task": task.report}
    record_data(folder, digest, report)
