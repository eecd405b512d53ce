"""What a whole run takes: memory of each device, seconds, tokens, money."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.recipe import RLRecipe, TrainingRollout
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.planning.memory import Fit, MemoryNeed

SAMPLING, UPDATE, OTHER = "sampling", "update", "other"
_HOUR = 3600.0


@dataclass(frozen=True)
class Plan:
    """Of one stage. ``known_by`` says what it was reckoned from."""

    name: str
    known_by: str
    devices: int
    memory: Sequence[tuple[MemoryNeed, Fit]]
    num_steps: float
    phases: Mapping[str, float]
    """Seconds of a step."""
    step_seconds: float
    around: Mapping[str, float]
    """Seconds of the whole run beside its steps: opening, evaluations, checkpoints."""
    sampled_tokens: float
    """Of the whole run."""
    learned_tokens: float
    price: float | None
    """Of a device for an hour."""
    assumed: Sequence[str] = field(default=())

    @property
    def hours(self) -> float:
        """Of the whole run, on the clock."""
        return (self.num_steps * self.step_seconds + sum(self.around.values())) / _HOUR

    @property
    def device_hours(self) -> float:
        """Of all devices together."""
        return self.devices * self.hours

    @property
    def money(self) -> float | None:
        """What the devices cost."""
        return None if self.price is None else self.price * self.device_hours


def step_of(recipe: TrainingRecipe, phases: Mapping[str, float]) -> float:
    """Seconds of a step: its phases in turns, or beside each other where samplers are ahead."""
    if isinstance(recipe, RLRecipe) and recipe.rollout.max_staleness > 0:
        return max(phases[SAMPLING], phases[UPDATE] + phases[OTHER])
    return sum(phases.values())


def num_evaluations(recipe: TrainingRecipe, num_steps: float) -> int:
    """Before steps, as often as the recipe says, and after the last."""
    steps = range(round(num_steps))
    first_general = recipe.general.first_step if isinstance(recipe, RLRecipe) and recipe.general else None
    times = sum(step % recipe.evaluation.every_steps == 0 or step == first_general for step in steps)
    is_scaled = isinstance(recipe, RewardModelRecipe)  # its scores' mean and spread take one more
    return times + 1 + is_scaled


def num_checkpoints(recipe: TrainingRecipe, num_steps: float) -> int:
    """Saved along the way, the last one and the model."""
    return int(num_steps) // recipe.checkpoint_steps + 2


def num_devices(recipe: TrainingRecipe) -> int:
    """Trainers, and GPUs that sample beside them."""
    rollout = getattr(recipe, "rollout", None)
    apart = 0
    if isinstance(rollout, TrainingRollout) and rollout.engines is not None:
        apart = rollout.engines.count
    if isinstance(rollout, TrainingRollout) and rollout.vllm is not None:
        apart = (len(rollout.vllm.urls) or rollout.vllm.servers) * rollout.vllm.gpus_per_server
    return recipe.machine.ranks + apart


def longest_sequence(recipe: TrainingRecipe, prompt_tokens: int) -> int:
    """Tokens of the longest sequence that a pass may read."""
    rollout = getattr(recipe, "rollout", None)
    if isinstance(rollout, TrainingRollout):
        return prompt_tokens + rollout.max_response_tokens
    return int(getattr(recipe, "max_tokens"))  # noqa: B009  of rows
