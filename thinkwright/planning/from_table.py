"""A plan from the data sheets of devices that are not at hand: operations and bytes, at a share of the peak.

A floor with two assumptions (``hardware.py``), not a measurement. Devices are taken to share the work evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import RLRecipe, RolloutSettings, TrainingRollout
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.errors import RecipeError
from thinkwright.planning.hardware import BANDWIDTH_SHARE, NODE, UPDATE_SHARE, Hardware
from thinkwright.planning.memory import (
    ACTIVATIONS,
    CACHE,
    FP32,
    GRADIENTS,
    Fit,
    MemoryNeed,
    activation_bytes,
    fit_of,
    held_cache,
    peak_of,
    sampling_parts,
    standing_parts,
)
from thinkwright.planning.plan import OTHER, SAMPLING, UPDATE, Plan, longest_sequence, num_devices, step_of
from thinkwright.planning.shape import ModelSize

BF16 = 2


@dataclass(frozen=True)
class Given:
    """What the table cannot know."""

    response_tokens: float
    learned_share: float
    prompt_tokens: int
    rows: int | None
    """That a stage learns from which has rows."""
    devices: int | None
    """None: as many as the recipe asks for."""
    price: float | None


def plan_of_table(
    name: str,
    recipe: TrainingRecipe | RejectionRecipe,
    size: ModelSize,
    teacher: ModelSize | None,
    judges: Sequence[ModelSize],
    hardware: Hardware,
    given: Given,
) -> Plan:
    """The whole run, without evaluations. Raises RecipeError for a stage of rows if nobody says how many."""
    limit = getattr(getattr(recipe, "rollout", None), "max_response_tokens", given.response_tokens)
    given = replace(given, response_tokens=min(given.response_tokens, limit))
    if isinstance(recipe, RejectionRecipe):
        return _sampling_plan(name, recipe, size, hardware, given)
    trainers, samplers = _shares(recipe, given)
    work = _work(recipe, size, teacher, given)
    phases = {
        UPDATE: max(work.seconds(hardware, trainers), _moving(recipe, size, work, hardware, trainers)),
        OTHER: 0.0,
    }
    rollout = getattr(recipe, "rollout", None)
    if isinstance(rollout, TrainingRollout):
        phases[SAMPLING] = _sampling_seconds(rollout, size, hardware, samplers, given)
    return Plan(
        name=name,
        known_by=f"the data sheet of {hardware.name}",
        devices=given.devices or num_devices(recipe),
        memory=_memory(recipe, size, teacher, judges, hardware, given),
        num_steps=work.num_steps,
        phases=phases,
        step_seconds=step_of(recipe, phases),
        around={},
        sampled_tokens=work.num_steps * work.sampled,
        learned_tokens=work.num_steps * work.learned,
        price=hardware.price if given.price is None else given.price,
        assumed=_assumed(recipe, given),
    )


def _shares(recipe: TrainingRecipe, given: Given) -> tuple[int, int]:
    """Devices that train, and devices that sample: the same ones in turns, unless the recipe has others for it."""
    count, wanted = recipe.machine.ranks, num_devices(recipe)
    apart = wanted - count
    if given.devices is None:
        return count, apart or count
    if not apart:
        return given.devices, given.devices
    if given.devices < 2:
        raise RecipeError("--devices: this recipe trains and samples on different devices; give 2 or more")
    trainers = min(given.devices - 1, max(1, round(given.devices * count / wanted)))
    return trainers, given.devices - trainers


@dataclass(frozen=True)
class _Work:
    """Of a step."""

    num_steps: float
    sampled: float
    """Tokens."""
    learned: float
    """Tokens that passes read."""
    flops: float

    def seconds(self, hardware: Hardware, devices: int) -> float:
        return self.flops / (devices * hardware.flops * UPDATE_SHARE)


def _work(recipe: TrainingRecipe, size: ModelSize, teacher: ModelSize | None, given: Given) -> _Work:
    sequence = given.prompt_tokens + given.response_tokens
    if isinstance(recipe, RLRecipe | DistillRecipe):
        rollout = recipe.rollout
        sampled = rollout.prompts_per_step * rollout.group_size * given.response_tokens
        # To a critic every group says something.
        share = given.learned_share if isinstance(recipe, RLRecipe) and recipe.critic is None else 1.0
        learned = share * (sampled + rollout.prompts_per_step * given.prompt_tokens)
        num_steps = float(recipe.steps)
    else:
        if given.rows is None:
            raise RecipeError(
                f"--rows: a stage of type {recipe.type} learns from rows, and the table cannot count them"
            )
        responses = 2 if isinstance(recipe, RewardModelRecipe) else 1
        of_row = given.prompt_tokens + responses * min(given.response_tokens, recipe.max_tokens)
        sampled, learned = 0.0, recipe.batch_size * of_row
        num_steps = recipe.epochs * given.rows / recipe.batch_size
    forward = learned * _token_flops(size, sequence)
    passes = 3.0 + _recomputes(recipe)  # a backward pass is two forward ones
    if recipe.lora is not None:
        passes -= 1  # no gradient of the weights themselves
    if isinstance(recipe, RLRecipe):
        passes += recipe.algorithm.kl_coef > 0
        passes += (4 + _recomputes(recipe)) * (recipe.critic is not None)  # its values, and its own update
        passes += (1 - 1 / recipe.algorithm.mini_batches) * recipe.samples_differ
    extra = learned * _token_flops(teacher, sequence) if teacher is not None else 0.0
    return _Work(num_steps, sampled, learned, passes * forward + extra)


def _recomputes(recipe: TrainingRecipe) -> bool:
    settings = recipe.optimizer if isinstance(recipe, RLRecipe) else recipe
    return bool(getattr(settings, "recompute_activations", False))


def _token_flops(size: ModelSize, sequence: float) -> float:
    """Of a forward pass: a product and a sum for each weight, and for each earlier token's key and value."""
    return 2 * size.multiplied + 4 * size.layers * size.attention * sequence / 2


def _moving(recipe: TrainingRecipe, size: ModelSize, work: _Work, hardware: Hardware, devices: int) -> float:
    """Seconds in which ranks gather weights (twice a pass) and sum up gradients, beside which they compute."""
    if devices == 1:
        return 0.0
    micro = recipe.optimizer.micro_batch_tokens if isinstance(recipe, RLRecipe) else recipe.micro_batch_tokens
    rounds = max(1.0, work.learned / (devices * micro))
    has_reference = isinstance(recipe, RLRecipe) and recipe.algorithm.kl_coef > 0
    gradients = recipe.lora.rank * size.linear_sides if recipe.lora is not None else size.parameters
    moved = (2 + has_reference) * BF16 * size.parameters + FP32 * gradients
    return rounds * moved / (hardware.link if devices <= NODE else hardware.network)


def _sampling_seconds(
    rollout: RolloutSettings, size: ModelSize, hardware: Hardware, devices: int, given: Given
) -> float:
    """Decoding reads the weights and all keys and values once for each token of a running batch."""
    per_engine = min(devices, _devices_per_engine(size, hardware, rollout))
    engines = max(1.0, devices / per_engine)
    weights = BF16 * size.parameters
    rows = rollout.prompts_per_step * rollout.group_size / engines
    running = max(1.0, min(rows, _slots(rollout), _rows_that_fit(size, hardware, per_engine, rollout)))
    context = given.prompt_tokens + given.response_tokens / 2
    read = min(weights, BF16 * size.multiplied * running) + running * context * BF16 * size.cache_values
    moving = read / (per_engine * hardware.bandwidth * BANDWIDTH_SHARE)
    computing = running * _token_flops(size, 2 * context) / (per_engine * hardware.flops * UPDATE_SHARE)
    longest = min(float(rollout.max_response_tokens), 3 * given.response_tokens)
    return max(rows * given.response_tokens / running, longest) * max(moving, computing)


def _devices_per_engine(size: ModelSize, hardware: Hardware, rollout: RolloutSettings) -> int:
    """That share a model which samples: as the recipe says, else the fewest that leave half for keys and values."""
    if isinstance(rollout, TrainingRollout) and rollout.vllm is not None:
        return rollout.vllm.gpus_per_server
    if isinstance(rollout, TrainingRollout) and rollout.engines is not None:
        return 1
    count = 1
    while 2 * BF16 * size.parameters > count * hardware.memory:
        count *= 2
    return count


def _slots(rollout: RolloutSettings) -> int:
    vllm = rollout.vllm if isinstance(rollout, TrainingRollout) else None
    return vllm.slots if vllm is not None else rollout.slots


def _rows_that_fit(size: ModelSize, hardware: Hardware, per_engine: int, rollout: RolloutSettings) -> float:
    left = max(0.0, 0.9 * per_engine * hardware.memory - BF16 * size.parameters)
    return left // (rollout.max_response_tokens * BF16 * size.cache_values)


def _memory(
    recipe: TrainingRecipe,
    size: ModelSize,
    teacher: ModelSize | None,
    judges: Sequence[ModelSize],
    hardware: Hardware,
    given: Given,
) -> list[tuple[MemoryNeed, Fit]]:
    trainers, _ = _shares(recipe, given)
    machine = recipe.machine.model_copy(update={"ranks": trainers})
    parts = standing_parts(recipe.model_copy(update={"machine": machine}), size, BF16, teacher, judges)
    optimizer = recipe.optimizer if isinstance(recipe, RLRecipe) else recipe
    token = activation_bytes(size, BF16, recomputes=_recomputes(recipe))
    longest = longest_sequence(recipe, given.prompt_tokens)  # one is read whole, however long it is
    parts[ACTIVATIONS] = token * max(optimizer.micro_batch_tokens, longest)
    if trainers > 1:  # two layers are gathered at a time, while one is computed
        parts[ACTIVATIONS] += 2 * BF16 * size.parameters // size.layers
    rollout = getattr(recipe, "rollout", None)
    cache = BF16 * size.cache_values
    if isinstance(rollout, TrainingRollout) and not rollout.samples_apart:
        standing = sum(value for name, value in parts.items() if name not in (GRADIENTS, ACTIVATIONS))
        room = int(0.8 * (hardware.memory - standing)) if rollout.memory_bytes is None else rollout.memory_bytes
        parts[CACHE] = held_cache(_slots(rollout) * longest * cache, longest * cache, room)
    need = MemoryNeed("each trainer", parts, peak_of(parts), hardware.memory)
    found = [(need, fit_of(need, token, cache, longest))]
    if isinstance(rollout, TrainingRollout) and rollout.samples_apart:
        gpus = _devices_per_engine(size, hardware, rollout)
        fitting = _rows_that_fit(size, hardware, gpus, rollout)
        held = max(1, min(_slots(rollout), int(fitting))) * longest * cache
        engine = sampling_parts(size, BF16, held, gpus)
        apart = MemoryNeed("each engine", engine, sum(engine.values()), hardware.memory)
        found.append((apart, fit_of(apart, 0.0, max(1, cache // gpus), longest)))
    return found


def _sampling_plan(name: str, recipe: RejectionRecipe, size: ModelSize, hardware: Hardware, given: Given) -> Plan:
    rollout, devices = recipe.rollout, given.devices or 1
    seconds = _sampling_seconds(rollout, size, hardware, devices, given)
    return Plan(
        name=name,
        known_by=f"the data sheet of {hardware.name}",
        devices=devices,
        memory=[],
        num_steps=recipe.steps,
        phases={SAMPLING: seconds},
        step_seconds=seconds,
        around={},
        sampled_tokens=recipe.steps * rollout.prompts_per_step * rollout.group_size * given.response_tokens,
        learned_tokens=0.0,
        price=hardware.price if given.price is None else given.price,
        assumed=_assumed(recipe, given),
    )


def _assumed(recipe: TrainingRecipe | RejectionRecipe, given: Given) -> list[str]:
    found = [
        f"{UPDATE_SHARE:.0%} of the peak of bf16 products, {BANDWIDTH_SHARE:.0%} of the memory's; without evaluations, "
        "grading and loading",
        f"prompts of {given.prompt_tokens} tokens, completions of {given.response_tokens:g} on average",
    ]
    if isinstance(recipe, RLRecipe):
        found.append(f"{given.learned_share:.0%} of the groups teach something")
    return found
