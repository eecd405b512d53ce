"""A plan from what two steps took on the machine at hand."""

from pathlib import Path

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import RLRecipe, TrainingRollout
from thinkwright.planning.expected import Expected
from thinkwright.planning.measured import Measured
from thinkwright.planning.memory import (
    ACTIVATIONS,
    CACHE,
    GRADIENTS,
    PROGRAM,
    Fit,
    MemoryNeed,
    fit_of,
    held_cache,
    sampling_parts,
    standing_parts,
)
from thinkwright.planning.plan import (
    OTHER,
    SAMPLING,
    UPDATE,
    Plan,
    num_checkpoints,
    num_devices,
    num_evaluations,
    step_of,
)
from thinkwright.planning.shape import ModelSize, size_of

_ENGINE_SHARE = 0.8
"""Of a device's memory that an engine takes for weights, keys and values."""


def plan_of_probe(
    name: str, recipe: TrainingRecipe, measured: Measured, expected: Expected, price: float | None
) -> Plan:
    """The whole run, each step like the measured one."""
    size = size_of(recipe.model)
    phases = {SAMPLING: measured.sampling, UPDATE: measured.update, OTHER: measured.other}
    later = num_evaluations(recipe, measured.num_steps) - 1
    evaluations = measured.evaluation + measured.evaluation_later * later
    return Plan(
        name=name,
        known_by=f"two steps measured on this machine's {measured.device}",
        devices=num_devices(recipe) if measured.device != "cpu" else 1,
        memory=_memory(recipe, size, measured),
        num_steps=measured.num_steps,
        phases=phases,
        step_seconds=step_of(recipe, phases),
        around={
            "opening": measured.opening,
            "evaluations": evaluations,
            "checkpoints": measured.saving * num_checkpoints(recipe, measured.num_steps),
        },
        sampled_tokens=measured.num_steps * measured.sampled_tokens,
        learned_tokens=measured.num_steps * measured.learned_tokens,
        price=price,
        assumed=_assumed(recipe, measured, expected),
    )


def _memory(recipe: TrainingRecipe, size: ModelSize, measured: Measured) -> list[tuple[MemoryNeed, Fit]]:
    """Of a trainer: what weights and optimizer must take, and the rest as measured; of an engine as it must be."""
    teacher = size_of(recipe.teacher) if isinstance(recipe, DistillRecipe) and recipe.teacher else None
    sets = recipe.general.sets() if isinstance(recipe, RLRecipe) and recipe.general is not None else {}
    judges = [size_of(str(Path(found.model).expanduser())) for found in sets.values()]
    parts = standing_parts(recipe, size, measured.itemsize, teacher, judges)
    known = sum(value for name, value in parts.items() if name != GRADIENTS)
    parts[PROGRAM] = max(0, measured.standing_bytes - known)
    rollout = getattr(recipe, "rollout", None)
    is_apart = isinstance(rollout, TrainingRollout) and rollout.samples_apart
    if isinstance(recipe, RLRecipe) and not is_apart:
        parts[CACHE] = max(0, measured.sampling_peak - measured.standing_bytes)
    parts[ACTIVATIONS] = max(0, measured.update_peak - measured.standing_bytes - parts[GRADIENTS])
    trainer = "each trainer" if recipe.machine.ranks > 1 else "the trainer"
    processes = num_devices(recipe) if measured.device == "cpu" else 1  # which share the machine's memory
    capacity = measured.capacity // processes
    need = MemoryNeed(trainer, parts, measured.process_peak, capacity)
    longest = rollout.max_response_tokens if isinstance(rollout, TrainingRollout) else 1
    found = [(need, fit_of(need, parts[ACTIVATIONS] / measured.micro_tokens, measured.cache_token_bytes, longest))]
    if isinstance(rollout, TrainingRollout) and is_apart:
        slots = rollout.vllm.slots if rollout.vllm is not None else rollout.slots
        gpus = rollout.vllm.gpus_per_server if rollout.vllm is not None else 1
        one = longest * measured.cache_token_bytes
        room = int(_ENGINE_SHARE * gpus * capacity) - measured.itemsize * size.parameters
        cache = held_cache(slots * one, one, room if rollout.memory_bytes is None else rollout.memory_bytes)
        engine = sampling_parts(size, measured.itemsize, cache, gpus)
        apart = MemoryNeed("each engine", engine, sum(engine.values()), capacity)
        found.append((apart, fit_of(apart, 0.0, measured.cache_token_bytes // gpus or 1, longest)))
    return found


def _assumed(recipe: TrainingRecipe, measured: Measured, expected: Expected) -> list[str]:
    """What the plan rests on and nobody knows before the run."""
    found: list[str] = []
    if measured.response_tokens:
        given = "as the policy writes now" if expected.response_tokens is None else "as given"
        lengths = f"{measured.response_tokens:.0f} tokens on average, {given} ({measured.response_tokens_now:.0f} now)"
        found.append(f"completions of {lengths}")
    if isinstance(recipe, RLRecipe):
        given = "as of the first step's" if expected.learned_share is None else "as given"
        found.append(f"{measured.learned_share:.0%} of the groups teach something, {given}")
    if isinstance(recipe, RLRecipe) and recipe.rollout.refill_rounds:
        found.append("prompts in place of those that teach nothing (rollout.refill_rounds) are not counted")
    if isinstance(recipe, RLRecipe) and recipe.general is not None and recipe.general.first_step > 0:
        found.append(f"reward models' time from step {recipe.general.first_step} on is not counted")
    return found
