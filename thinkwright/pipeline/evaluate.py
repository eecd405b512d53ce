"""The ``evaluate`` stage: several models answer the same held-out questions; one table comes out."""

import time
from pathlib import Path
from typing import Any

from thinkwright.config.evaluate import EvaluatedModel, EvaluateRecipe
from thinkwright.config.load import resolved_json
from thinkwright.display import Display
from thinkwright.evaluation.assistant import assistant_figures, reasoning_figures, win_rate
from thinkwright.evaluation.figures import Sample
from thinkwright.evaluation.held_out import evaluate
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.outside import content_digest
from thinkwright.pipeline.record import (
    choose_machine,
    ending,
    joint_digest,
    prompts_digest,
    record_data,
    record_start,
)
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import (
    append_event,
    check_run_folder,
    create_run_folder,
    read_json,
    write_bytes_atomic,
    write_json_atomic,
)
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.training.interrupt import CutShort, StopRequest

TABLE_FILE = "table.json"
ROWS = {
    "accuracy": ("right answers", "percent"),
    "accuracy_math": ("- mathematics", "percent"),
    "accuracy_logic": ("- logic", "percent"),
    "accuracy_code": ("- code", "percent"),
    "accuracy_facts": ("- facts", "percent"),
    "accuracy_en": ("- asked in English", "percent"),
    "accuracy_zh": ("- asked in Chinese", "percent"),
    "language_consistency": ("language consistency of thoughts", "percent"),
    "readable": ("well-formed thoughts", "percent"),
    "summary_agrees": ("summary agrees with the thought", "percent"),
    "mean_response_tokens": ("tokens a response", "number"),
    "conduct_greeting": ("small talk: greetings", "percent"),
    "conduct_identity": ("small talk: who it is", "percent"),
    "small_talk_without_thought": ("small talk without a thought", "percent"),
    "small_talk_thinking_tokens": ("thinking tokens on small talk", "number"),
    "win_rate": ("helpfulness, win rate", "percent"),
    "harmless_rate": ("harmless", "percent"),
    "over_refusal_rate": ("over-refusal", "percent"),
}
"""What the table shows of the figures, and how."""


def run_evaluate(recipe: EvaluateRecipe, folder: Path, *, resume: bool, argv: list[str]) -> dict[str, Any]:
    """Evaluate each model, or those that are left; leaves ``eval/NAME.json`` and ``table.json``.

    Raises RunFolderError, as others do, to resume with other questions than those the first models answered.
    """
    started, is_started = time.monotonic(), False
    check_run_folder(folder, resolved_json(recipe), resume=resume)
    for model in _left(recipe, folder):
        _check(recipe, model, folder, resume=resume)
    tasks = _tasks(recipe, recipe.models[0])
    create_run_folder(folder, resolved_json(recipe), resume=resume)
    record_data(folder, _questions_digest(tasks), {name: task.report for name, task in tasks.items()})
    earlier = _measured_seconds(recipe, folder)
    with (
        WorkerPool(recipe.workers, isolation=recipe.program_isolation) as pool,
        Display() as display,
        StopRequest() as stop,
    ):
        for model in _left(recipe, folder):
            if stop.is_requested:
                break
            policy = _load(recipe, model, folder, resume=resume)
            if not is_started:
                record_start(folder, policy, recipe.machine, argv, resume=resume)
                is_started = True
            begun = time.monotonic()
            try:
                with stop.cutting():
                    result = _measure(recipe, model, policy, pool)
            except CutShort:
                break
            result |= {"seconds": time.monotonic() - begun, "digest": _digest_of(model)}
            write_json_atomic(_file_of(model, folder), result)
            display.note(f"{model.name}: {result['figures']['accuracy']:.1%} right")
    num_left = len(_left(recipe, folder))
    summary: dict[str, Any] = {
        **ending(not num_left, stop),
        "wall_seconds": earlier + time.monotonic() - started,
        "steps": len(recipe.models) - num_left,
        "seed": recipe.seed,
    }
    if not num_left:
        found = {model.name: read_json(_file_of(model, folder)) for model in recipe.models}
        summary["after"] = _write_table(recipe, folder, found)
    write_json_atomic(folder / "summary.json", summary)
    append_event(folder, summary["status"])
    return summary


def _left(recipe: EvaluateRecipe, folder: Path) -> list[EvaluatedModel]:
    """The models that are not measured yet, or have been made anew since."""
    return [model for model in recipe.models if not _is_measured(model, folder)]


def _is_measured(model: EvaluatedModel, folder: Path) -> bool:
    path = _file_of(model, folder)
    return path.exists() and read_json(path).get("digest") == _digest_of(model)


def _digest_of(model: EvaluatedModel) -> str | None:
    """Of a model's folder on this machine."""
    path = Path(resolve_model_name(model.model))
    return content_digest(path) if path.is_dir() else None


def _tasks(recipe: EvaluateRecipe, model: EvaluatedModel) -> dict[str, Task]:
    """What a model is asked, by the key in its recipe."""
    settings = {"task": recipe.task, "requests": recipe.requests}
    return {name: load_task(found, model.template) for name, found in settings.items() if found is not None}


def _questions_digest(tasks: dict[str, Task]) -> str:
    """Of the held-out questions alone: nothing else is asked."""
    return joint_digest([f"{name} {prompts_digest(task.held_out)}" for name, task in tasks.items()])


def _measured_seconds(recipe: EvaluateRecipe, folder: Path) -> float:
    """What the models took that were measured before this call."""
    measured = [model for model in recipe.models if _is_measured(model, folder)]
    return sum(read_json(_file_of(model, folder))["seconds"] for model in measured)


def _load(recipe: EvaluateRecipe, model: EvaluatedModel, folder: Path, *, resume: bool) -> Policy:
    """All models in the dtype that the first had, also where ``auto`` would now measure otherwise."""
    is_recorded = resume or (folder / "environment.json").exists()
    device, dtype = choose_machine(recipe.machine, folder, resume=is_recorded)
    return load_policy(resolve_model_name(model.model), device=device, dtype=dtype)


def _check(recipe: EvaluateRecipe, model: EvaluatedModel, folder: Path, *, resume: bool) -> None:
    """Raises ModelError or RecipeError for a model that cannot be loaded, or whose context is too short."""
    policy = _load(recipe, model, folder, resume=resume)
    prompts = [prompt for task in _tasks(recipe, model).values() for prompt in task.held_out]
    ids = [policy.encode(prompt.text) for prompt in prompts]
    settings = SamplingSettings(1, recipe.max_response_tokens, recipe.evaluation.temperature, recipe.seed, step=0)
    NativeEngine(policy, recipe.slots).check([RolloutRequest("longest", max(ids, key=len))], settings)


def _measure(recipe: EvaluateRecipe, model: EvaluatedModel, policy: Policy, pool: WorkerPool) -> dict[str, Any]:
    """Figures and samples of one model."""
    engine = NativeEngine(policy, recipe.slots)
    samples: dict[str, list[Sample]] = {"task": [], "requests": []}
    figures: dict[str, Any] = {}
    for name, task in _tasks(recipe, model).items():
        result = evaluate(engine, policy, task.held_out, recipe.evaluation, recipe.max_response_tokens, pool)
        samples[name] = result.samples
        if name == "task":
            figures |= result.figures | reasoning_figures(result.samples)
        else:
            figures |= assistant_figures(result.samples, lambda text: len(policy.encode(text)))
    num_parameters = sum(param.numel() for param in policy.model.parameters())
    return {"name": model.name, "figures": figures | {"parameters": num_parameters}, "samples": samples}


def _write_table(recipe: EvaluateRecipe, folder: Path, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """``table.json`` and ``table.md``; gives back the figures by model, for gates."""
    figures: dict[str, Any] = {name: dict(one["figures"]) for name, one in found.items()}
    if recipe.baseline is not None:
        others = found[recipe.baseline]["samples"]["requests"]
        for name, one in found.items():
            figures[name]["win_rate"] = win_rate(one["samples"]["requests"], others)
    columns = list(found)
    rows = [
        {"figure": _title(key, title, recipe), "values": [figures[name].get(key) for name in columns], "format": kind}
        for key, (title, kind) in ROWS.items()
        if any(key in figures[name] for name in columns)
    ]
    write_json_atomic(folder / TABLE_FILE, {"columns": columns, "rows": rows})
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {row['figure']} | {' | '.join(_shown(value, row['format']) for value in row['values'])} |" for row in rows
    ]
    write_bytes_atomic(folder / "table.md", ("\n".join(lines) + "\n").encode())
    return figures


def _title(key: str, title: str, recipe: EvaluateRecipe) -> str:
    return f"{title} against {recipe.baseline}" if key == "win_rate" else title


def _shown(value: float | None, kind: str) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if kind == "percent" else f"{value:.1f}"


def _file_of(model: EvaluatedModel, folder: Path) -> Path:
    return folder / "eval" / f"{model.name.replace(' ', '_')}.json"
