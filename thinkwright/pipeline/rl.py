"""The ``rl`` stage: check prompts, rewards and limits, pass the gate, train, leave a Hugging Face folder."""

import json
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from thinkwright.config.general import PreferenceSet
from thinkwright.config.load import resolved_json
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import Ranks, is_on_ray
from thinkwright.evaluation.held_out import bare_and_forced
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.doctor.report import DOCTOR_FILE, check_up
from thinkwright.pipeline.gate import check_gate
from thinkwright.pipeline.outside import content_digest
from thinkwright.pipeline.record import (
    choose_machine,
    joint_digest,
    record_data,
    record_trained,
    task_digest,
)
from thinkwright.pipeline.rl_inputs import check_recipe, load_general, load_traces
from thinkwright.pipeline.spread import num_graders
from thinkwright.pipeline.training import trained
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.choice import open_engine
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import check_run_folder, write_json_atomic
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.tasks.tiny_world.writer import forced_starts
from thinkwright.training.general import GeneralPrompts
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.rl import RLTrainer
from thinkwright.training.teacher_traces import TeacherTraces
from thinkwright.training.trainer import Train, train_to_end


def run_rl(
    recipe: RLRecipe, folder: Path, *, resume: bool, argv: list[str], ranks: Ranks, train: Train = train_to_end
) -> dict[str, Any]:
    started = time.monotonic()
    ranks.on_first(lambda: check_run_folder(folder, resolved_json(recipe), resume=resume))
    with ExitStack() as opened:
        pool = opened.enter_context(_pool(recipe, ranks))
        device, dtype = choose_machine(recipe.machine, folder, resume=resume, ranks=ranks)
        model = resolve_model_name(recipe.model)
        policy = load_policy(model, device=device, dtype=dtype)
        task = load_task(recipe.task, recipe.template)
        general = load_general(recipe, policy)
        traces = load_traces(recipe, policy, task)
        check_recipe(recipe, policy, task, pool, general)
        found = check_up(recipe, policy, task, pool, folder, ranks)
        engine = opened.enter_context(open_engine(recipe.rollout, policy, model, folder, ranks, recipe.lora))
        trainer = RLTrainer(recipe, policy, found.task, pool, engine, folder, started, general, ranks, traces)

        def record() -> None:
            report = found.task.report | ({"teacher_traces": traces.data.report} if traces is not None else {})
            record_data(folder, _data_digest(recipe, task, general, traces), report)
            write_json_atomic(folder / DOCTOR_FILE, found.record)

        def pass_gate(display: Display, stop: StopRequest) -> None:
            with stop.cutting() if ranks.size == 1 else nullcontext():
                _pass_gate(recipe, policy, task, pool, folder, display, ranks)

        summary = trained(
            trainer,
            recipe,
            policy,
            resume=resume,
            argv=argv,
            train=train,
            record=record,
            notes=[*task.notes(), *found.notes, *(traces.notes() if traces is not None else ())],
            before=pass_gate,
        )
    summary["rollout_tokens"] = trainer.progress.rollout_tokens
    record_trained(folder, recipe, policy, trainer.learner, summary, ranks)
    return summary


def _pool(recipe: RLRecipe, ranks: Ranks) -> WorkerPool:
    """The workers that grade, on the cluster if this process is."""
    rewards = recipe.rewards
    if not is_on_ray():
        return WorkerPool(rewards.workers, isolation=rewards.program_isolation)
    from thinkwright.rewards.ray_pool import RayWorkerPool

    count = num_graders(rewards.workers, recipe.rollout, ranks.is_first)
    return RayWorkerPool(count, rewards.program_isolation)


def _data_digest(recipe: RLRecipe, task: Task, general: GeneralPrompts | None, traces: TeacherTraces | None) -> str:
    """Of the task's prompts; with ``general``, also of its prompts and its reward models; of a teacher's traces."""
    digests = [task_digest(task)]
    if traces is not None:
        digests.append(traces.data.digest())
    if recipe.general is not None and general is not None:
        digests += _general_digests(recipe.general.sets(), general)
    return digests[0] if len(digests) == 1 else joint_digest(digests)


def _general_digests(sets: dict[str, PreferenceSet], general: GeneralPrompts) -> list[str]:
    return [
        f"{name} {task_digest(general.tasks[name])} {content_digest(Path(sets[name].model).expanduser())}"
        for name in sets
    ]


def _pass_gate(
    recipe: RLRecipe, policy: Policy, task: Task, pool: WorkerPool, folder: Path, display: Display, ranks: Ranks
) -> None:
    """Measure what the base does when forced, once per run, and hold it against the gate, if the recipe has one."""
    path = folder / "eval" / "baselines.json"
    if recipe.gate is None:
        return
    if not ranks.first(path.exists()):
        engine = NativeEngine(policy, recipe.rollout.slots, recipe.rollout.memory_bytes)
        max_tokens = recipe.rollout.max_response_tokens
        baselines = bare_and_forced(
            engine, policy, task.held_out, recipe.evaluation, max_tokens, pool, forced_starts(), ranks
        )
        if ranks.is_first:
            write_json_atomic(path, baselines)
        ranks.meet()
    display.note(check_gate(recipe.gate, json.loads(path.read_text(encoding="utf-8"))))
