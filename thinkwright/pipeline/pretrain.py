"""The ``pretrain`` stage: make the tiny world's base model, measure how it behaves, write its card."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

from thinkwright.config.recipe import PretrainRecipe
from thinkwright.config.tasks import TinyWorldTask
from thinkwright.display import Display
from thinkwright.evaluation.figures import Sample
from thinkwright.evaluation.held_out import bare_and_forced, evaluate
from thinkwright.models.policy import Policy
from thinkwright.pipeline.record import choose_machine
from thinkwright.pipeline.training import trained
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import append_event, write_bytes_atomic, write_json_atomic
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.tiny_world.writer import CAREFUL, GUESS, SKIP, forced_starts, style_of
from thinkwright.training.pretrain import PretrainTrainer, starting_policy
from thinkwright.training.trainer import train_to_end

MAX_RESPONSE_TOKENS = 192


def run_pretrain(recipe: PretrainRecipe, folder: Path, *, resume: bool, argv: list[str]) -> dict[str, Any]:
    """Run or resume; leaves ``model/`` with weights, tokenizer and card. Returns what ``summary.json`` holds."""
    started = time.monotonic()
    policy = starting_policy(recipe, *choose_machine(recipe.machine, folder, resume=resume))
    measured: dict[str, Any] = {}

    def measure(display: Display) -> None:
        display.note("measuring the base: free, bare, step by step")
        measured.update(measure_base(policy, recipe, folder))

    trainer = PretrainTrainer(recipe, policy, folder, started, measure)
    summary = trained(
        trainer,
        recipe,
        policy,
        resume=resume,
        argv=argv,
        train=train_to_end,
        record=lambda: None,
        notes=(),
    )
    summary |= measured | {"wall_seconds": trainer.progress.wall_seconds}  # without the measuring
    if trainer.is_done:
        policy.save(folder / "model")
        card = model_card(recipe, summary, policy, command=" ".join(["thinkwright", *argv[1:]]))
        write_bytes_atomic(folder / "model" / "README.md", card.encode())
    write_json_atomic(folder / "summary.json", summary)
    append_event(folder, summary["status"])
    return summary


def measure_base(policy: Policy, recipe: PretrainRecipe, folder: Path) -> dict[str, Any]:
    """Held-out figures left free, forced bare and forced step by step; and how often it behaves how."""
    engine, settings = NativeEngine(policy), recipe.evaluation
    held_out = load_task(TinyWorldTask(type="tiny_world")).held_out
    with WorkerPool() as pool:
        free = evaluate(engine, policy, held_out, settings, MAX_RESPONSE_TOKENS, pool)
        forced = bare_and_forced(engine, policy, held_out, settings, MAX_RESPONSE_TOKENS, pool, forced_starts())
    write_json_atomic(folder / "eval" / "baselines.json", forced)
    row = {"step": recipe.steps, "figures": free.figures, "samples": free.samples}
    write_json_atomic(folder / "eval" / f"step_{recipe.steps:06d}.json", row)
    return {"after": free.figures, "behaviour": behaviour(free.samples), **forced}


def behaviour(samples: list[Sample]) -> dict[str, float]:
    """Shares of held-out replies that guess, skip steps, go step by step, check themselves, and so on."""
    styles, total = Counter(style_of(row["text"]) for row in samples), len(samples)
    return {
        "guesses": (styles[GUESS] + styles["bare"]) / total,
        "skips steps": styles[SKIP] / total,
        "works step by step": styles[CAREFUL] / total,
        "checks itself": sum(row["reflection_words"] > 0 for row in samples) / total,
        "thinks in the other language": sum(row["language_consistency"] < 0.5 for row in samples) / total,
        "closes its tags": sum(row["is_well_formed"] for row in samples) / total,
    }


def model_card(recipe: PretrainRecipe, summary: dict[str, Any], policy: Policy, command: str) -> str:
    """The base model's README: how it was made and how it was measured to behave."""
    origin = f"going on from `{recipe.start}`" if recipe.start else "from random weights"
    num_parameters = sum(param.numel() for param in policy.model.parameters())
    shares = "\n".join(f"| {name} | {share:.1%} |" for name, share in summary["behaviour"].items())
    families = "\n".join(
        f"| {name} | {summary['after']['accuracy_by_family'][name]:.1%} | {bare:.1%} "
        f"| {summary['forced']['accuracy_by_family'][name]:.1%} |"
        for name, bare in summary["bare"]["accuracy_by_family"].items()
    )
    return f"""---
license: apache-2.0
language: [en, zh]
library_name: transformers
pipeline_tag: text-generation
---
# A base model of the tiny world

A base model of {num_parameters:,} parameters (Qwen2 layout) for the tiny world: it knows the pieces of careful thinking
and mostly guesses. Pre-trained on a generated web of questions and replies in English and Chinese. It is a toy: it
knows nothing beyond these questions.

Made by `{command}` {origin}: seed {recipe.seed}, {recipe.steps} steps of {recipe.documents_per_step} documents, styles
{recipe.styles.guess:.0%} guess, {recipe.styles.skip:.0%} skip, {recipe.styles.careful:.0%} careful;
{summary["wall_seconds"] / 60:.0f} minutes on {recipe.machine.threads} CPU threads.

## Measured on the {summary["after"]["settings"]["num_questions"]} held-out questions
Template of R1-Zero, temperature {recipe.evaluation.temperature}, {recipe.evaluation.samples_per_question} samples each.

| of its replies | share |
|---|---|
{shares}

| accuracy by family | left free | bare answer | step by step |
|---|---|---|---|
{families}
| all | {summary["after"]["accuracy"]:.1%} | {summary["bare"]["accuracy"]:.1%} | {summary["forced"]["accuracy"]:.1%} |
"""
