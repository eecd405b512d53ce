"""The ``rejection_sample`` stage: sample, judge, keep what is right and readable, mix, write rows and lineage."""

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from thinkwright.config.load import resolved_json
from thinkwright.config.rejection import Extra, RejectionRecipe
from thinkwright.config.rewards import RewardWeights
from thinkwright.display import Display
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.record import (
    FINISHED,
    INTERRUPTED,
    choose_machine,
    record_data,
    record_start,
    task_digest,
)
from thinkwright.pipeline.sift import Kept, sift
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import check_error_share, score_groups, set_aside
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import (
    append_jsonl,
    check_run_folder,
    create_run_folder,
    truncate_jsonl,
    write_bytes_atomic,
    write_json_atomic,
)
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.read import read_rows
from thinkwright.tasks.task import Task
from thinkwright.tasks.tiny_world import rewriter
from thinkwright.training.interrupt import StopRequest
from thinkwright.types import RolloutGroup

EXAMPLES_FILE = "examples.jsonl"
KEPT_FILE = "kept.jsonl"


def run_rejection(recipe: RejectionRecipe, folder: Path, *, resume: bool, argv: list[str]) -> dict[str, Any]:
    """Run or resume; leaves ``examples.jsonl`` and its card. Returns what ``summary.json`` holds."""
    started = time.monotonic()
    check_run_folder(folder, resolved_json(recipe), resume=resume)
    device, dtype = choose_machine(recipe.machine, folder, resume=resume)
    policy = load_policy(resolve_model_name(recipe.model), device=device, dtype=dtype)
    task = load_task(recipe.task, recipe.template)
    extra = _read_extra(recipe.extra)
    with WorkerPool(recipe.workers, isolation=recipe.program_isolation) as pool:
        create_run_folder(folder, resolved_json(recipe), resume=resume)
        record_data(folder, task_digest(task), task.report)
        record_start(folder, policy, recipe.machine.threads, argv, resume=resume)
        with Display() as display, StopRequest() as stop:
            for line in task.notes():
                display.note(line)
            next_step = _resume(folder) if resume else 0
            while next_step < recipe.steps and not stop.is_requested:
                metrics = _sample_step(recipe, policy, task, pool, folder, next_step)
                append_jsonl(folder / "metrics.jsonl", {"step": next_step, **metrics})
                display.step(next_step, recipe.steps, metrics)
                next_step += 1
    is_done = next_step == recipe.steps
    summary: dict[str, Any] = {
        "status": FINISHED if is_done else INTERRUPTED,
        "wall_seconds": time.monotonic() - started,
        "steps": next_step,
        "seed": recipe.seed,
    }
    if is_done:
        summary |= {"after": _write_examples(recipe, folder, extra)}
    write_json_atomic(folder / "summary.json", summary)
    append_jsonl(folder / "events.jsonl", {"time": time.time(), "event": summary["status"]})
    return summary


def _resume(folder: Path) -> int:
    """The step to go on with: the first whose metrics are not there. What was kept of it is dropped."""
    metrics = folder / "metrics.jsonl"
    rows = (
        [json.loads(line) for line in metrics.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        if (metrics.exists())
        else []
    )
    next_step = len(rows)
    for name in ("metrics.jsonl", KEPT_FILE):
        truncate_jsonl(folder / name, next_step)
    return next_step


def _sample_step(
    recipe: RejectionRecipe, policy: Policy, task: Task, pool: WorkerPool, folder: Path, step: int
) -> dict[str, float]:
    """Sample and judge one round; what is kept is appended to ``kept.jsonl``."""
    start = time.monotonic()
    groups = _sample(recipe, policy, task, pool, step)
    check_error_share(groups, recipe.max_error_share)
    if rows := set_aside(groups):
        event = {"time": time.time(), "event": "set_aside", "step": step, "examples": rows[:20]}
        append_jsonl(folder / "events.jsonl", event)
    kept, dropped = sift(groups, recipe.keep)
    examples = [example for row in kept if (example := _example(row, recipe, step)) is not None]
    dropped["nothing left after rewriting"] = len(kept) - len(examples)
    for example in examples:
        append_jsonl(folder / KEPT_FILE, {"step": step, **example})
    num_tokens = sum(len(member.rollout.token_ids) for group in groups for member in group.members)
    seconds = time.monotonic() - start
    return {
        "sample/completions": sum(len(group.members) for group in groups),
        "sample/kept": len(examples),
        **{f"dropped/{reason}": count for reason, count in dropped.items()},
        "rollout/tokens": num_tokens,
        "rollout/tokens_per_second": num_tokens / seconds,
        "time/step_seconds": seconds,
    }


def _sample(recipe: RejectionRecipe, policy: Policy, task: Task, pool: WorkerPool, step: int) -> list[RolloutGroup]:
    rollout = recipe.rollout
    engine = NativeEngine(policy, rollout.slots, rollout.memory_bytes)
    prompts = task.prompts(recipe.seed, step, rollout.prompts_per_step)
    settings = SamplingSettings(rollout.group_size, rollout.max_response_tokens, rollout.temperature, recipe.seed, step)
    encoded = [tuple(policy.tokenizer.encode(p.text, add_special_tokens=False)) for p in prompts]
    requests = [RolloutRequest(p.prompt_id, ids) for p, ids in zip(prompts, encoded, strict=True)]
    rollouts = engine.generate(requests, settings, policy_version=0)
    return score_groups(list(zip(prompts, encoded, rollouts, strict=True)), RewardWeights(), pool)


def _example(row: Kept, recipe: RejectionRecipe, step: int) -> dict[str, Any] | None:
    """The row to learn from, with where it comes from; None if rewriting leaves nothing."""
    prompt, thought, answer = row.prompt, row.thought, row.answer
    if recipe.rewrite == "tiny_world":
        rewritten = rewriter.rewrite(thought, prompt.language)
        if rewritten is None:
            return None
        thought, answer = rewritten, rewriter.summary(answer, prompt.language)
    source = {
        "model": recipe.model,
        "prompt_id": prompt.prompt_id,
        "family": prompt.family,
        "seed": recipe.seed,
        "step": step,
        "member": row.position,
        "scores": row.member.scores,
        "rewrite": recipe.rewrite,
    }
    question = {"question": prompt.question, "thought": thought, "answer": answer, "language": prompt.language}
    return question | {"source": source}


def _read_extra(extra: Extra | None) -> list[dict[str, Any]]:
    """The rows to be mixed in, as they stand; those who learn from them check them."""
    if extra is None:
        return []
    return [
        dict(row) | {"source": {"file": path, "row": number}}
        for path in extra.data
        for number, row in read_rows(path, "extra.data")
    ]


def _write_examples(recipe: RejectionRecipe, folder: Path, extra: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``examples.jsonl``, shuffled, and its card; gives back the counts."""
    kept = [json.loads(line) for line in _lines(folder / KEPT_FILE)]
    rows, seen = [], set[tuple[str, str]]()
    for row in kept:
        row.pop("step")
        if (key := (row["question"], row["thought"])) not in seen:
            seen.add(key)
            rows.append(row)
    rng = Random(f"examples/{recipe.seed}")
    mixed = list(extra)
    rng.shuffle(mixed)
    if recipe.extra is not None:
        mixed = mixed[: math.ceil(len(rows) * recipe.extra.share / (1 - recipe.extra.share))]
    both = [*rows, *mixed]
    rng.shuffle(both)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in both)
    write_bytes_atomic(folder / EXAMPLES_FILE, lines.encode())
    counts = _counts(folder, rows, mixed)
    if len(kept) > len(rows):
        counts["dropped"]["the same as in another round"] = len(kept) - len(rows)
    write_bytes_atomic(folder / "README.md", _card(recipe, counts).encode())
    return counts


def _counts(folder: Path, rows: Sequence[dict[str, Any]], mixed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    dropped: Counter[str] = Counter()
    for line in _lines(folder / "metrics.jsonl"):
        row = json.loads(line)
        dropped.update({key.partition("/")[2]: int(row[key]) for key in row if key.startswith("dropped/")})
        dropped["sampled"] += int(row["sample/completions"])
    sampled = dropped.pop("sampled")
    return {
        "sampled": sampled,
        "examples": len(rows),
        "mixed_in": len(mixed),
        "kept_share": len(rows) / max(1, sampled),
        "dropped": dict(dropped),
        "examples_by_family": dict(Counter(row["source"]["family"] for row in rows)),
        "examples_by_language": dict(Counter(row["language"] for row in rows)),
    }


def _card(recipe: RejectionRecipe, counts: dict[str, Any]) -> str:
    """The data set's README: what it is, where it comes from, what was dropped."""
    tables = "\n\n".join(
        _table(name, counts[of])
        for name, of in (("family", "examples_by_family"), ("language", "examples_by_language"), ("dropped", "dropped"))
    )
    return f"""# Rows for supervised fine-tuning

`{EXAMPLES_FILE}`: {counts["examples"]:,} completions of `{recipe.model}` that were right and readable, of
{counts["sampled"]:,} sampled (seed {recipe.seed}, temperature {recipe.rollout.temperature:g},
{recipe.rollout.group_size} a prompt, template {recipe.template}), and {counts["mixed_in"]:,} rows mixed in. Each row
has `question`, `thought`, `answer`, `language` and `source`: the model, prompt, seed, step and member it was sampled
with and its scores, or the file and row it was taken from.

{tables}
"""


def _table(name: str, counts: dict[str, int]) -> str:
    rows = "\n".join(f"| {key} | {value:,} |" for key, value in sorted(counts.items()))
    return f"| {name} | completions |\n|---|---|\n{rows}"


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []
