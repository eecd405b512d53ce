"""What a device must hold, part by part, and what fits beside it. Bytes throughout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.planning.shape import ModelSize

FP32 = 4
WEIGHTS, TRAINED, GRADIENTS, OPTIMIZER = "weights", "weights that learn", "gradients", "optimizer"
REFERENCE, TEACHER, JUDGES, CRITIC = "reference policy", "teacher", "reward models", "critic"
CACHE, ACTIVATIONS, PROGRAM = "keys and values", "activations", "program"
_UPDATING = (GRADIENTS, ACTIVATIONS)
"""Parts that are there during an update alone; keys and values are there while sampling."""


def standing_parts(
    recipe: TrainingRecipe,
    size: ModelSize,
    itemsize: int,
    teacher: ModelSize | None = None,
    judges: Sequence[ModelSize] = (),
) -> dict[str, int]:
    """What a trainer's device holds throughout, and the gradients of an update.

    ``itemsize``: bytes of a weight that is computed with. Follows ``training/optimizer.py`` (fp32 masters, unless the
    weights are fp32 themselves), ``distributed/sharding.py`` (a rank's part, and the whole policy that samples),
    ``models/adapters.py`` and ``training/reference.py``.
    """
    ranks, weights = recipe.machine.ranks, itemsize * size.parameters
    parts = {WEIGHTS: weights}
    trained = size.parameters
    if recipe.lora is not None:
        trained = recipe.lora.rank * size.linear_sides
        base = FP32 * size.parameters if ranks > 1 else itemsize * size.linear
        parts[TRAINED] = (base + FP32 * trained) // ranks
    elif ranks > 1 or itemsize != FP32:
        parts[TRAINED] = FP32 * trained // ranks
    parts[GRADIENTS] = FP32 * trained // ranks
    parts[OPTIMIZER] = 2 * FP32 * trained // ranks
    if isinstance(recipe, RLRecipe) and recipe.algorithm.kl_coef > 0:
        own = weights
        if recipe.lora is not None:  # other adapters; on several ranks beside weights of their own
            own = FP32 * trained + (FP32 * size.parameters if ranks > 1 else 0)
        parts[REFERENCE] = own // ranks
    if isinstance(recipe, RLRecipe) and recipe.critic is not None:  # counted as if its gradients stayed
        parts[CRITIC] = weights + (3 if itemsize == FP32 else 4) * FP32 * size.parameters
    if judges:
        parts[JUDGES] = sum(itemsize * judge.parameters for judge in judges)
    if isinstance(recipe, DistillRecipe) and teacher is not None:
        parts[TEACHER] = itemsize * teacher.parameters
    return parts


def activation_bytes(size: ModelSize, itemsize: int, *, recomputes: bool) -> int:
    """Of one token in a pass with gradients: what the layers of a Llama-like model keep for the backward pass.

    Each layer keeps the inputs of its norms and linear modules, queries and keys as they were and rotated, values, what
    attention gives, and the MLP's gate, its activation, the other half and their product; norms keep fp32 copies. With
    ``recomputes`` only the layers' inputs, and those of one layer in full.
    """
    kept = 6 * size.hidden + 4 * size.attention + 5 * size.keys + 4 * size.intermediate
    layer = itemsize * kept + FP32 * 4 * size.hidden
    if recomputes:
        return size.layers * itemsize * size.hidden + layer
    return size.layers * layer


@dataclass(frozen=True)
class MemoryNeed:
    """Of one device."""

    device: str
    """What the device does: trains, samples, or both in turns."""
    parts: Mapping[str, int]
    peak: int
    """The most at one time."""
    capacity: int


def peak_of(parts: Mapping[str, int]) -> int:
    """Sampling and updating take turns, so keys and values never meet gradients and activations."""
    standing = sum(value for name, value in parts.items() if name not in (*_UPDATING, CACHE))
    return standing + max(parts.get(CACHE, 0), sum(parts.get(name, 0) for name in _UPDATING))


@dataclass(frozen=True)
class Fit:
    """What a device has room for beside what must be there."""

    micro_batch_tokens: int
    """The largest micro-batch."""
    cache_tokens: int
    """Keys and values of so many tokens."""
    slots: int
    """Completions of full length at once."""
    first_too_much: str
    """The part that goes over the capacity, counted in the order in which a run takes them; empty if all fits."""
    remedy: str
    next_too_much: str
    """If all fits: of keys and values and activations, what would go over first if both grew."""
    growth: float
    """How many times as large it can be."""


_REMEDIES = {
    PROGRAM: "take a larger machine",
    WEIGHTS: "take a smaller model, devices with more memory, or machine.dtype = bfloat16: each holds the whole model",
    TRAINED: "raise machine.ranks, or train adapters ([lora])",
    GRADIENTS: "raise machine.ranks, or train adapters ([lora])",
    OPTIMIZER: "raise machine.ranks, or train adapters ([lora])",
    REFERENCE: "set algorithm.kl_coef = 0, raise machine.ranks, or train adapters ([lora])",
    TEACHER: "serve the teacher elsewhere (teacher_endpoint)",
    CRITIC: "set algorithm.advantage = group_std and remove [critic]",
    JUDGES: "train smaller reward models: every trainer holds them whole",
    CACHE: "lower rollout.slots (rollout.vllm.slots) or rollout.max_response_tokens",
    ACTIVATIONS: "lower micro_batch_tokens, or recompute activations",
}
_STANDING = (PROGRAM, WEIGHTS, TRAINED, OPTIMIZER, REFERENCE, CRITIC, TEACHER, JUDGES)
"""In the order in which a run takes them."""


def fit_of(need: MemoryNeed, token_activations: float, token_cache: int, longest: int) -> Fit:
    """``token_activations`` and ``token_cache``: bytes of one token; ``longest``: tokens of a whole sequence."""
    left, first = need.capacity, ""
    for name in _STANDING:
        left -= need.parts.get(name, 0)
        first = first or (name if left < 0 else "")
    after_gradients = left - need.parts.get(GRADIENTS, 0)
    turns = {
        CACHE: left - need.parts.get(CACHE, 0),
        GRADIENTS: after_gradients,
        ACTIVATIONS: after_gradients - need.parts.get(ACTIVATIONS, 0),
    }
    first = first or next((name for name, room in turns.items() if room < 0), "")
    cache = max(0, left) // token_cache
    micro = int(max(0, after_gradients) / token_activations) if token_activations > 0 else 0
    rooms = {CACHE: left, ACTIVATIONS: after_gradients}
    growths = {name: room / need.parts[name] for name, room in rooms.items() if need.parts.get(name)}
    next_one = min(growths, key=lambda name: growths[name], default="")
    return Fit(micro, cache, cache // longest, first, _REMEDIES.get(first, ""), next_one, growths.get(next_one, 0.0))


def sampling_parts(size: ModelSize, itemsize: int, cache: int, gpus: int) -> dict[str, int]:
    """What a device holds that samples beside the trainer, one of ``gpus`` that share the model."""
    return {WEIGHTS: itemsize * size.parameters // gpus, CACHE: cache // gpus}


def held_cache(wanted: int, longest: int, room: int) -> int:
    """Bytes of keys and values that an engine reserves: fewer slots run where not all fit, but one at least."""
    return min(wanted, max(longest, room))
