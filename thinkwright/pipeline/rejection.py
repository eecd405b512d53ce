"""The ``rejection_sample`` stage: sample, judge, keep what is right and readable, mix, write rows and lineage."""

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from thinkwright.config.load import resolved_json
from thinkwright.config.rejection import Extra, RejectionRecipe
from thinkwright.config.rewards import RewardWeights
from thinkwright.display import Display
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.judging import keep_correct, unjudged
from thinkwright.pipeline.prompting import Asked, Shown, ask, digest_of, read_examples, stop_texts, without_next_turn
from thinkwright.pipeline.record import FINISHED, INTERRUPTED, choose_machine, record_data, record_start
from thinkwright.pipeline.refine import refine
from thinkwright.pipeline.sift import Kept, choose, sift
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
    """Run or resume; leaves ``examples.jsonl`` and its card. Returns what ``summary.json`` holds."""
    started = time.monotonic()
    check_run_folder(folder, resolved_json(recipe), resume=resume)
    device, dtype = choose_machine(recipe.machine, folder, resume=resume)
    policy = load_policy(resolve_model_name(recipe.model), device=device, dtype=dtype)
    task = load_task(recipe.task, recipe.template)
    extra, examples = _read_extra(recipe.extra), read_examples(recipe.prompting)
    with ExitStack() as stack:
        judge, refiner = (
            None if settings is None else stack.enter_context(ServedModel(settings))
            for settings in (recipe.judge, recipe.refiner)
        )
        pool = stack.enter_context(WorkerPool(recipe.workers, isolation=recipe.program_isolation))
        tools = _Tools(policy, task, pool, examples, judge, refiner)
        create_run_folder(folder, resolved_json(recipe), resume=resume)
        record_data(folder, digest_of(task, examples), task.report)
        record_start(folder, policy, recipe.machine.threads, argv, resume=resume)
        with Display() as display, StopRequest() as stop:
            for line in task.notes():
                display.note(line)
            next_step = _resume(folder) if resume else 0
            while next_step < recipe.steps and not stop.is_requested:
                metrics = _sample_step(recipe, tools, folder, next_step)
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


def _sample_step(recipe: RejectionRecipe, tools: _Tools, folder: Path, step: int) -> dict[str, float]:
    """Sample and judge one round; what is kept is appended to ``kept.jsonl``.

    Raises EndpointError if judge or refiner is down: nothing of the step is kept, and a resumed run repeats it.
    """
    start = time.monotonic()
    prompts = tools.task.prompts(recipe.seed, step, recipe.rollout.prompts_per_step)
    asked = [ask(prompt, recipe.prompting, tools.examples, recipe.seed) for prompt in prompts]
    groups = _sample(recipe, tools, asked, step)
    check_error_share(groups, recipe.max_error_share)
    if rows := set_aside(groups):
        event = {"time": time.time(), "event": "set_aside", "step": step, "examples": rows[:20]}
        append_jsonl(folder / "events.jsonl", event)
    kept, dropped, figures = _keep(recipe, tools, groups, step)
    lineages = {one.prompt.prompt_id: one.lineage for one in asked}
    examples = [found for row in kept if (found := _example(row, recipe, step, lineages[row.prompt.prompt_id]))]
    dropped["nothing left after rewriting"] = len(kept) - len(examples)
    for example in examples:
        append_jsonl(folder / KEPT_FILE, {"step": step, **example})
    num_tokens = sum(len(member.rollout.token_ids) for group in groups for member in group.members)
    seconds = time.monotonic() - start
    return {
        "sample/completions": sum(len(group.members) for group in groups),
        "sample/kept": len(examples),
        **{f"dropped/{reason}": count for reason, count in dropped.items()},
        **figures,
        "rollout/tokens": num_tokens,
        "rollout/tokens_per_second": num_tokens / seconds,
        "time/step_seconds": seconds,
    }


def _sample(recipe: RejectionRecipe, tools: _Tools, asked: Sequence[Asked], step: int) -> list[RolloutGroup]:
    """The completions of a step; scored where there is a rule."""
    rollout, policy = recipe.rollout, tools.policy
    engine = NativeEngine(policy, rollout.slots, rollout.memory_bytes)
    settings = SamplingSettings(
        rollout.group_size,
        rollout.max_response_tokens,
        rollout.temperature,
        recipe.seed,
        step,
        stop=stop_texts(recipe.prompting),
    )
    requests = [
        RolloutRequest(one.prompt.prompt_id, _encode(policy, one.prompt.text), _encode(policy, one.forced_start))
        for one in asked
    ]
    sampled = [
        (one.prompt, request.prompt_ids, [without_next_turn(rollout, recipe.prompting) for rollout in rollouts])
        for one, request, rollouts in zip(
            asked, requests, engine.generate(requests, settings, policy_version=0), strict=True
        )
    ]
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
    if tools.refiner is not None:
        seed = _seed("refiner", recipe, step)
        kept, spoiled = refine(kept, tools.refiner, tools.pool, recipe.keep, recipe.max_error_share, seed)
        dropped += spoiled
    return kept, dropped, figures


def _encode(policy: Policy, text: str) -> tuple[int, ...]:
    return tuple(policy.tokenizer.encode(text, add_special_tokens=False)) if text else ()


def _seed(kind: str, recipe: RejectionRecipe, step: int) -> int:
    """Of the requests that a step sends to a served model; 28 bits, since each request adds its place."""
    return int(hashlib.sha256(f"{kind}/{recipe.seed}/{step}".encode()).hexdigest()[:7], 16)


def _example(row: Kept, recipe: RejectionRecipe, step: int, prompting: dict[str, Any] | None) -> dict[str, Any] | None:
    """The row to learn from, with where it comes from; None if rewriting leaves nothing."""
    prompt, thought, answer = row.prompt, row.thought, row.answer
    if recipe.rewrite == "tiny_world":
        rewritten = rewriter.rewrite(thought, prompt.language)
        if rewritten is None:
            return None
        thought, answer = rewritten, rewriter.summary(answer, prompt.language)
    source: dict[str, Any] = {
        "model": recipe.model,
        "prompt_id": prompt.prompt_id,
        "family": prompt.family,
        "seed": recipe.seed,
        "step": step,
        "member": row.position,
        "scores": row.member.scores,
        "rewrite": recipe.rewrite,
    }
    if prompting is not None:
        source["prompting"] = prompting
    if recipe.judge is not None:
        source["judge"] = {"model": recipe.judge.name, "verdicts": list(row.verdicts)}
    if recipe.refiner is not None:
        source["refiner"] = recipe.refiner.name
    question = {"question": prompt.question, "thought": thought or None, "answer": answer, "language": prompt.language}
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
    rows, seen = [], set[tuple[str, str]]()  # a bare answer is told from others by itself
    for row in kept:
        row.pop("step")
        if (key := (row["question"], row["thought"] or row["answer"])) not in seen:
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
with and its scores, or the file and row it was taken from.{"".join(_served(recipe))}

{tables}
"""


def _served(recipe: RejectionRecipe) -> list[str]:
    """What other models had to do with the rows, and how the policy was prompted, a sentence each."""
    sentences: list[str] = []
    if recipe.prompting is not None:
        sentences.append(f"The model was prompted in the style `{recipe.prompting.style}` (`source.prompting`).")
    if recipe.judge is not None:
        sentences.append(
            f"`{recipe.judge.name}` judged the answers, each twice, and both times called those correct that were kept "
            "(`source.judge`)."
        )
    if recipe.refiner is not None:
        sentences.append(f"`{recipe.refiner.name}` rewrote thoughts and answers; the rule found them right again.")
    return [f"\n{sentence}" for sentence in sentences]


def _table(name: str, counts: dict[str, int]) -> str:
    rows = "\n".join(f"| {key} | {value:,} |" for key, value in sorted(counts.items()))
    return f"| {name} | completions |\n|---|---|\n{rows}"


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []
