"""The ``rejection_sample`` stage: sample, judge, keep what is right and readable; ``rejection_rows`` writes it."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinkwright.config.load import resolved_json
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.rewards import RewardWeights
from thinkwright.display import Display
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.judging import keep_correct, unjudged
from thinkwright.pipeline.prompting import (
    AskedTeacher,
    Shown,
    ask,
    digest_of,
    read_examples,
    stop_texts,
    without_next_turn,
)
from thinkwright.pipeline.record import choose_machine, ending, record_data, record_start
from thinkwright.pipeline.refine import refine
from thinkwright.pipeline.rejection_rows import KEPT_FILE, example_of, read_extra, write_examples
from thinkwright.pipeline.sift import Kept, choose, sift
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import SampledGroup, check_error_share, score_groups, set_aside
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import (
    append_event,
    append_jsonl,
    check_run_folder,
    create_run_folder,
    drop_later,
    truncate_jsonl,
    write_json_atomic,
)
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.training.interrupt import CutShort, StopRequest
from thinkwright.types import RolloutGroup


@dataclass(frozen=True)
class _Tools:
    """What a step works with."""

    policy: Policy
    task: Task
    pool: WorkerPool
    examples: list[Shown]
    """Worked examples of few-shot prompting."""
    judge: ServedModel | None
    refiner: ServedModel | None


def run_rejection(recipe: RejectionRecipe, folder: Path, *, resume: bool, argv: list[str]) -> dict[str, Any]:
    """Run or resume; leaves ``examples.jsonl`` and its card. Returns what ``summary.json`` holds.

    Bad input, and a judge or refiner that is down, are refused before the folder is touched.
    """
    started = time.monotonic()
    check_run_folder(folder, resolved_json(recipe), resume=resume)
    device, dtype = choose_machine(recipe.machine, folder, resume=resume)
    policy = load_policy(resolve_model_name(recipe.model), device=device, dtype=dtype)
    task = load_task(recipe.task, recipe.template)
    extra, examples = read_extra(recipe.extra), read_examples(recipe.prompting)
    _check_longest(recipe, policy, task, examples)
    with ExitStack() as stack:
        judge, refiner = (
            None if settings is None else stack.enter_context(ServedModel(settings))
            for settings in (recipe.judge, recipe.refiner)
        )
        pool = stack.enter_context(WorkerPool(recipe.workers, isolation=recipe.program_isolation))
        for served in (judge, refiner):
            if served is not None:
                served.probe()
        tools = _Tools(policy, task, pool, examples, judge, refiner)
        create_run_folder(folder, resolved_json(recipe), resume=resume)
        record_data(folder, digest_of(task, examples, extra), task.report)
        record_start(folder, policy, recipe.machine, argv, resume=resume)
        with Display() as display, StopRequest() as stop:
            for line in task.notes():
                display.note(line)
            next_step, seconds_before = _resume(folder) if resume else (0, 0.0)
            while next_step < recipe.steps and not stop.is_requested:
                try:
                    with stop.cutting():  # nothing of a step counts before its metrics are there
                        metrics = _sample_step(recipe, tools, folder, next_step)
                except CutShort:
                    break
                append_jsonl(folder / "metrics.jsonl", {"step": next_step, **metrics})
                display.step(next_step, recipe.steps, metrics)
                next_step += 1
    is_done = next_step == recipe.steps
    summary: dict[str, Any] = {
        **ending(is_done, stop),
        "wall_seconds": seconds_before + time.monotonic() - started,
        "steps": next_step,
        "seed": recipe.seed,
    }
    if is_done:
        summary |= {"after": write_examples(recipe, folder, extra)}
    write_json_atomic(folder / "summary.json", summary)
    append_event(folder, summary["status"])
    return summary


def _resume(folder: Path) -> tuple[int, float]:
    """The step to go on with, the first whose metrics are not there, and the seconds that those before it took.

    What the folder holds of it and of later ones is dropped.
    """
    metrics = folder / "metrics.jsonl"
    rows = (
        [json.loads(line) for line in metrics.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        if (metrics.exists())
        else []
    )
    next_step = len(rows)
    drop_later(folder, next_step)
    truncate_jsonl(folder / KEPT_FILE, next_step)
    return next_step, sum(row["time/step_seconds"] for row in rows)


def _sample_step(recipe: RejectionRecipe, tools: _Tools, folder: Path, step: int) -> dict[str, float]:
    """Sample and judge one round; what is kept is appended to ``kept.jsonl``.

    Raises EndpointError if judge or refiner is down: nothing of the step is kept, and a resumed run repeats it.
    """
    start = time.monotonic()
    prompts = tools.task.prompts(recipe.seed, step, recipe.rollout.prompts_per_step)
    asked = [ask(prompt, recipe.prompting, tools.examples, recipe.seed) for prompt in prompts]
    sampled = _sample(recipe, tools, asked, step)
    sampling_seconds = time.monotonic() - start
    groups = _scored(recipe, tools, sampled)
    check_error_share(groups, recipe.max_error_share, "max_error_share")
    if rows := set_aside(groups):
        append_event(folder, "set_aside", step=step, examples=rows[:20])
    kept, dropped, figures = _keep(recipe, tools, groups, step)
    lineages = {one.prompt.prompt_id: one.lineage for one in asked}
    examples = [found for row in kept if (found := example_of(row, recipe, step, lineages[row.prompt.prompt_id]))]
    dropped["nothing left after rewriting"] = len(kept) - len(examples)
    for example in examples:
        append_jsonl(folder / KEPT_FILE, {"step": step, **example})
    num_tokens = sum(len(member.rollout.token_ids) for group in groups for member in group.members)
    return {
        "sample/completions": sum(len(group.members) for group in groups),
        "sample/kept": len(examples),
        **{f"dropped/{reason}": count for reason, count in dropped.items()},
        **figures,
        "rollout/tokens": num_tokens,
        "rollout/tokens_per_second": num_tokens / sampling_seconds,
        "time/rollout_seconds": sampling_seconds,
        "time/step_seconds": time.monotonic() - start,
    }


def _check_longest(recipe: RejectionRecipe, policy: Policy, task: Task, examples: Sequence[Shown]) -> None:
    """The longest prompt that will be asked, worked examples and all, must fit the model's context and the memory.

    Raises ModelError.
    """
    longest: list[RolloutRequest] = []
    for step in range(recipe.steps):
        prompts = task.prompts(recipe.seed, step, recipe.rollout.prompts_per_step)
        longest += [_request(policy, ask(prompt, recipe.prompting, examples, recipe.seed)) for prompt in prompts]
        longest = [max(longest, key=_prompt_length), max(longest, key=_start_length)]
    settings = replace(_settings(recipe, step=0), group_size=1)
    NativeEngine(policy, recipe.rollout.slots, recipe.rollout.memory_bytes).check(longest, settings)


def _prompt_length(request: RolloutRequest) -> int:
    return len(request.prompt_ids)


def _start_length(request: RolloutRequest) -> int:
    return len(request.forced_start)


def _settings(recipe: RejectionRecipe, step: int) -> SamplingSettings:
    rollout = recipe.rollout
    return SamplingSettings(
        rollout.group_size,
        rollout.max_response_tokens,
        rollout.temperature,
        recipe.seed,
        step,
        stop=stop_texts(recipe.prompting),
    )


def _request(policy: Policy, asked: AskedTeacher) -> RolloutRequest:
    return RolloutRequest(
        asked.prompt.prompt_id, _encode(policy, asked.prompt.text), _encode(policy, asked.forced_start)
    )


def _sample(recipe: RejectionRecipe, tools: _Tools, asked: Sequence[AskedTeacher], step: int) -> list[SampledGroup]:
    """The completions of a step."""
    policy = tools.policy
    engine = NativeEngine(policy, recipe.rollout.slots, recipe.rollout.memory_bytes)
    settings = _settings(recipe, step)
    requests = [_request(policy, one) for one in asked]
    return [
        (one.prompt, request.prompt_ids, [without_next_turn(rollout, recipe.prompting) for rollout in rollouts])
        for one, request, rollouts in zip(asked, requests, engine.generate(requests, settings), strict=True)
    ]


def _scored(recipe: RejectionRecipe, tools: _Tools, sampled: Sequence[SampledGroup]) -> list[RolloutGroup]:
    """The completions, scored where there is a rule."""
    if recipe.judge is not None:
        return [unjudged(*group) for group in sampled]
    return score_groups(sampled, RewardWeights(), tools.pool)


def _keep(
    recipe: RejectionRecipe, tools: _Tools, groups: Sequence[RolloutGroup], step: int
) -> tuple[list[Kept], Counter[str], dict[str, float]]:
    """What is kept of a step, how many completions were dropped for what reason, and figures of the judge."""
    good, dropped = sift(groups, recipe.keep)
    figures: dict[str, float] = {}
    if recipe.judge is not None and tools.judge is not None:
        good, misjudged, figures = keep_correct(good, tools.judge, recipe.judge, _seed("judge", recipe, step))
        dropped += misjudged
    kept, over = choose(good, recipe.keep.per_prompt)
    dropped += over
    if recipe.refiner is not None and tools.refiner is not None:
        seed = _seed("refiner", recipe, step)
        kept, spoiled = refine(
            kept, tools.refiner, recipe.refiner, tools.pool, recipe.keep, recipe.max_error_share, seed
        )
        dropped += spoiled
    return kept, dropped, figures


def _encode(policy: Policy, text: str) -> tuple[int, ...]:
    return policy.encode(text) if text else ()


def _seed(kind: str, recipe: RejectionRecipe, step: int) -> int:
    """Of the requests that a step sends to a served model; 28 bits, since each request adds its place."""
    return int(hashlib.sha256(f"{kind}/{recipe.seed}/{step}".encode()).hexdigest()[:7], 16)
