"""The prompts of a step that reward models judge, and the guard against hacking them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.general import READS, General, Guard
from thinkwright.config.rewards import RewardWeights
from thinkwright.errors import RecipeError
from thinkwright.models.reward_model import RewardModel, load_reward_model
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.preference import OVER_CONTEXT, score_by_preference
from thinkwright.rewards.score import SampledGroup
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.types import Metrics, Prompt, RolloutGroup

PREFERENCE = "general/preference"
"""The metric the guard watches: mean verdict of the reward models."""


class GeneralPrompts:
    """Tasks and reward models of the sets of prompts without a rule."""

    def __init__(self, settings: General, template: str, device: torch.device, dtype: torch.dtype) -> None:
        """Raises DataError or ModelError for a task or a reward model that cannot be loaded."""
        self.settings = settings
        self.tasks: dict[str, Task] = {name: load_task(part.task, template) for name, part in settings.sets().items()}
        self.models: dict[str, RewardModel] = {
            name: load_reward_model(Path(part.model), device=device, dtype=dtype)
            for name, part in settings.sets().items()
        }

    def check(self, prompts_per_step: int, max_response_tokens: int) -> None:
        """Raises RecipeError for a set too small to get a prompt, sets that leave none for the rules, a wrong model.

        A response that is read whole must fit the reward model, as far as its tokenizer is the policy's; how long a
        summary gets is not known before. One that does not fit after all is worth nothing and counted.
        """
        for name, model in self.models.items():
            part = self.settings.sets()[name]
            if model.reading.reads != READS[name]:
                raise RecipeError(
                    f"general.{name}.model: {part.model} was trained to read the {model.reading.reads}, and here it "
                    f"would judge the {READS[name]}; give one trained with reads = {READS[name]}"
                )
            texts = [model.reading.texts((prompt.question, None, ""))[0] for prompt in self.tasks[name].all_prompts()]
            longest = max(len(model.policy.encode(text)) for text in texts)
            needed = longest + (max_response_tokens if model.reading.reads == "response" else 1)
            if needed > model.policy.max_positions:
                raise RecipeError(
                    f"general.{name}.model: {part.model} reads {model.policy.max_positions} tokens, and a prompt of "
                    f"{longest} with its response comes to {needed}; train one from a model with a longer context, or "
                    "lower rollout.max_response_tokens"
                )
        counts = self._counts(prompts_per_step)
        for name, count in counts.items():
            if count == 0:
                raise RecipeError(
                    f"general.{name}.share: {self.settings.sets()[name].share:g} of {prompts_per_step} prompts is "
                    "none; raise it, or rollout.prompts_per_step"
                )
        if sum(counts.values()) >= prompts_per_step:
            raise RecipeError("general: the shares leave no prompt of a step to the rules; lower them")

    def prompts(self, seed: int, step: int, prompts_per_step: int) -> list[tuple[str, Prompt]]:
        """The prompts of a step with their set's name; none before ``first_step``."""
        if step < self.settings.first_step:
            return []
        return [
            (name, prompt)
            for name, count in self._counts(prompts_per_step).items()
            for prompt in self.tasks[name].prompts(seed, step, count)
        ]

    def score(
        self, sampled: Sequence[tuple[str, SampledGroup]], rewards: RewardWeights, pool: WorkerPool
    ) -> dict[str, list[RolloutGroup]]:
        """The groups of each set with their rewards."""
        return {
            name: score_by_preference(
                [group for of, group in sampled if of == name],
                name,
                model.rewards,
                self.settings.weight,
                rewards,
                pool,
            )
            for name, model in self.models.items()
        }

    def all_prompts(self) -> list[Prompt]:
        """Those that stand for all: for checks of length and language."""
        return [prompt for task in self.tasks.values() for prompt in task.all_prompts()]

    def _counts(self, prompts_per_step: int) -> dict[str, int]:
        return {name: round(part.share * prompts_per_step) for name, part in self.settings.sets().items()}


def general_metrics(scored: Mapping[str, Sequence[RolloutGroup]]) -> Metrics:
    """Means over the rollouts that reward models judged."""
    members = {
        name: [member for group in groups for member in group.members if member.outcome == "graded"]
        for name, groups in scored.items()
    }
    everyone = [member for found in members.values() for member in found]
    if not everyone:
        return {}
    metrics = {f"general/{name}": fmean(m.scores[name] for m in found) for name, found in members.items() if found}
    verdicts = [member.scores[name] for name, found in members.items() for member in found]
    replies = [
        TEMPLATES[group.prompt.template].split(member.rollout.text)
        for groups in scored.values()
        for group in groups
        for member in group.members
    ]
    return metrics | {
        PREFERENCE: fmean(verdicts),
        "general/format": fmean(member.scores["format"] for member in everyone),
        "general/over_context": fmean(OVER_CONTEXT in member.scores for member in everyone),
        "general/bare_rate": fmean(reply.is_bare for reply in replies),
        "general/response_tokens": fmean(len(member.rollout.token_ids) for member in everyone),
    }


def hack_found(folder: Path, guard: Guard, first_step: int) -> str | None:
    """What the run folder's rows say of hacking, or None: preference up, held-out accuracy down beyond chance.

    Read from the files, so a resumed run finds what the whole run would have.
    """
    evaluations = [
        (found["step"], found["figures"]["accuracy"], found["figures"]["accuracy_standard_error"])
        for path in sorted(folder.glob("eval/step_*.json"))
        if (found := json.loads(path.read_text(encoding="utf-8")))["step"] >= first_step
    ]
    verdicts = _verdicts(folder / "metrics.jsonl")
    if len(evaluations) < 2 or not verdicts:
        return None
    *earlier, (step, accuracy, error) = evaluations
    best_step, best, best_error = max(earlier, key=lambda found: found[1])
    limit = max(guard.max_accuracy_drop, 2 * (best_error**2 + error**2) ** 0.5)
    before, after = fmean(verdicts[: guard.window]), fmean(verdicts[-guard.window :])
    if best - accuracy <= limit or after <= before:
        return None
    return (
        f"the reward models' verdict rose from {before:.3f} to {after:.3f} while the held-out accuracy fell from "
        f"{best:.1%} (step {best_step}) to {accuracy:.1%} (step {step}): the preference reward is being hacked"
    )


def _verdicts(path: Path) -> list[float]:
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [row[PREFERENCE] for row in rows if PREFERENCE in row]
