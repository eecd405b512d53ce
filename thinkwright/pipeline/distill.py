"""The ``distill`` stage: check both models against each other, distil, measure, leave a Hugging Face folder."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.load import resolved_json
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import RecipeError
from thinkwright.evaluation.held_out import evaluate
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.limits import longest_prompt
from thinkwright.pipeline.outside import content_digest
from thinkwright.pipeline.record import (
    choose_machine,
    joint_digest,
    record_data,
    record_trained,
    task_digest,
)
from thinkwright.pipeline.training import trained
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.choice import open_engine
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import check_run_folder
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.training.distill import DistillTrainer, Measure
from thinkwright.training.teacher import LocalTeacher, ServedTeacher, Teacher, check_tokenizers
from thinkwright.training.trainer import Train, train_to_end


def run_distill(
    recipe: DistillRecipe, folder: Path, *, resume: bool, argv: list[str], ranks: Ranks, train: Train = train_to_end
) -> dict[str, Any]:
    """Run or resume; returns what ``summary.json`` holds. Bad input is refused before the folder is touched."""
    started = time.monotonic()
    ranks.on_first(lambda: check_run_folder(folder, resolved_json(recipe), resume=resume))
    device, dtype = choose_machine(recipe.machine, folder, resume=resume, ranks=ranks)
    model = resolve_model_name(recipe.model)
    policy = load_policy(model, device=device, dtype=dtype)
    task = load_task(recipe.task, recipe.template)
    longest = longest_prompt(policy, recipe.rollout, recipe.seed, task.all_prompts())
    with ExitStack() as open_parts:
        teacher = open_parts.enter_context(_teacher(recipe, policy, longest))
        engine = open_parts.enter_context(open_engine(recipe.rollout, policy, model, folder, ranks, recipe.lora))
        measure = open_parts.enter_context(_measuring(recipe, policy, task, ranks))
        trainer = DistillTrainer(recipe, policy, teacher, task, engine, folder, started, measure, ranks)
        summary = trained(
            trainer,
            recipe,
            policy,
            resume=resume,
            argv=argv,
            train=train,
            record=lambda: record_data(folder, _data_digest(recipe, task), task.report),
            notes=task.notes(),
        )
    summary["rollout_tokens"] = trainer.progress.rollout_tokens
    record_trained(folder, recipe, policy, trainer.learner, summary, ranks)
    return summary


def _data_digest(recipe: DistillRecipe, task: Task) -> str:
    """Of the task's prompts and of a teacher's folder on this machine."""
    teacher = Path(resolve_model_name(recipe.teacher)) if recipe.teacher is not None else None
    found = f"teacher {content_digest(teacher)}" if teacher is not None and teacher.is_dir() else "teacher elsewhere"
    return joint_digest([task_digest(task), found])


@contextmanager
def _teacher(recipe: DistillRecipe, policy: Policy, longest: tuple[int, ...]) -> Iterator[Teacher]:
    """The teacher, seen to fit student and prompts. Raises RecipeError, ModelError or EndpointError if it does not."""
    max_tokens = recipe.rollout.max_response_tokens
    if recipe.teacher_endpoint is not None:
        with ServedModel(recipe.teacher_endpoint) as model:
            served = ServedTeacher(model, policy)
            served.check(longest, max_tokens)
            yield served
        return
    assert recipe.teacher is not None, "the recipe has one teacher"
    teacher = load_policy(resolve_model_name(recipe.teacher), device=policy.device, dtype=policy.dtype)
    check_tokenizers(policy, teacher, recipe.teacher)
    if len(longest) + max_tokens > teacher.max_positions:
        raise RecipeError(
            f"teacher: the longest prompt ({len(longest)} tokens) and rollout.max_response_tokens = {max_tokens} are "
            f"over the context of {recipe.teacher}, {teacher.max_positions} tokens; lower it, or take a teacher with a "
            "longer context"
        )
    yield LocalTeacher(teacher)


@contextmanager
def _measuring(recipe: DistillRecipe, policy: Policy, task: Task, ranks: Ranks) -> Iterator[Measure | None]:
    """What answers the task's held-out questions, with workers that grade; None where there are none."""
    if not task.held_out:
        yield None
        return
    rollout = recipe.rollout
    engine = NativeEngine(policy, rollout.slots, rollout.memory_bytes)
    with WorkerPool(recipe.workers, isolation=recipe.program_isolation) as pool:
        yield lambda: evaluate(
            engine, policy, task.held_out, recipe.evaluation, rollout.max_response_tokens, pool, ranks=ranks
        )
