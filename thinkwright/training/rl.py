"""The RL loop: task -> prompts -> rollouts -> rewards -> advantages -> batch -> update.

DeepSeek-R1-Zero (arXiv:2501.12948, section 2.2) on one machine. The only file that sees every noun of the flow.
"""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch

from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.evaluation.held_out import evaluate
from thinkwright.models.policy import Policy, recompute_activations
from thinkwright.rewards.background import BackgroundScorer
from thinkwright.rewards.reflection import count_reflection_words
from thinkwright.rewards.score import SampledGroup, score_groups
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import append_jsonl, truncate_jsonl, write_json_atomic, write_rollouts
from thinkwright.tasks.prompts import Task
from thinkwright.training.checkpoint import Progress, load_newest_checkpoint, save_checkpoint
from thinkwright.training.groups import mini_batches, training_groups
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater
from thinkwright.types import Metrics, Prompt, RolloutGroup


class RLTrainer:
    """The state of one RL run: policy, reference policy, optimizer, and where it stands."""

    def __init__(self, recipe: RLRecipe, policy: Policy, task: Task, folder: Path, started: float) -> None:
        """``started`` is when the run began (``time.monotonic``), so that its wall time counts loading and gate."""
        self.recipe, self.policy, self.task, self.folder = recipe, policy, task, folder
        self.engine = NativeEngine(policy, recipe.rollout.slots, recipe.rollout.memory_bytes)
        uses_reference = recipe.algorithm.kl_coef > 0
        self.reference = Policy(_frozen_copy(policy.model), policy.tokenizer, policy.device) if uses_reference else None
        self.optimizer = MasterOptimizer(
            policy.model,
            lr=recipe.optimizer.lr,
            betas=(recipe.optimizer.beta1, recipe.optimizer.beta2),
            weight_decay=recipe.optimizer.weight_decay,
        )
        self.updater = Updater(
            policy,
            self.reference,
            self.optimizer,
            recipe.algorithm,
            recipe.rollout.temperature,
            recipe.optimizer.micro_batch_tokens,
        )
        if recipe.optimizer.recompute_activations:
            recompute_activations(policy)
        self.progress = Progress(next_step=0, policy_version=0, rollout_tokens=0, wall_seconds=0.0)
        self._started = started

    def resume(self) -> None:
        """Take up the newest checkpoint, if any, and drop from the run folder what came after it."""
        found = load_newest_checkpoint(self.folder / "checkpoints")
        if found is not None:
            self.progress, optimizer_state, reference_state = found
            self.optimizer.load_state_dict(optimizer_state)
            if self.reference is not None and reference_state is not None:
                self.reference.model.load_state_dict(reference_state)
            self._started -= self.progress.wall_seconds
        next_step = self.progress.next_step
        truncate_jsonl(self.folder / "metrics.jsonl", next_step)
        (self.folder / "summary.json").unlink(missing_ok=True)
        later = [*self.folder.glob("rollouts/step_*"), *self.folder.glob("eval/step_*")]
        for path in later:
            step = int(path.name.removeprefix("step_").partition(".")[0])
            if step > next_step or (step == next_step and path.parent.name == "rollouts"):
                path.unlink()

    def wall_seconds(self) -> float:
        """Seconds the run has taken so far, resumed parts together."""
        return time.monotonic() - self._started

    def train(self, display: Display, stop: StopRequest) -> None:
        """Run the remaining steps. On a stop request: finish the step, leave a checkpoint, return early."""
        recipe = self.recipe
        while self.progress.next_step < recipe.steps and not stop.is_requested:
            step = self.progress.next_step
            if step % recipe.evaluation.every_steps == 0:
                self.evaluate(display)
            self._refresh_reference(step)
            metrics, groups = self.run_step(step)
            append_jsonl(self.folder / "metrics.jsonl", {"step": step, **metrics})
            write_rollouts(self.folder / "rollouts" / f"step_{step:06d}.jsonl.zst", groups)
            display.step(step, recipe.steps, metrics)
            if self.progress.next_step % recipe.checkpoint_steps == 0:
                self.save()
        if self.progress.next_step > 0:
            self.save()
        if self.progress.next_step == recipe.steps:
            self.evaluate(display)

    def run_step(self, step: int) -> tuple[Metrics, list[RolloutGroup]]:
        """One round: sample, score, update. Returns the step's metrics and its scored groups."""
        start = time.monotonic()
        prompts = self.task.prompts(self.recipe.seed, step, self.recipe.rollout.prompts_per_step)
        with BackgroundScorer(lambda groups: self._score(step, groups)) as scorer:
            self._sample(step, prompts, scorer)
            sampled_at = time.monotonic()
            groups = scorer.results()
        scored_at = time.monotonic()
        learned = training_groups(groups, self.recipe.algorithm)
        parts = mini_batches(learned, self.recipe.algorithm.mini_batches)
        updates = [
            self.updater.update(part, self.learning_rate(step), self.recipe.optimizer.max_grad_norm) for part in parts
        ]
        num_tokens = sum(len(m.rollout.token_ids) for group in groups for m in group.members)
        self.progress = Progress(
            next_step=step + 1,
            policy_version=self.progress.policy_version + len(updates),
            rollout_tokens=self.progress.rollout_tokens + num_tokens,
            wall_seconds=self.wall_seconds(),
        )
        metrics = group_metrics(groups) | _mean_metrics(updates)
        metrics |= {
            "optim/lr": self.learning_rate(step),
            "policy/version": self.progress.policy_version,
            "rollout/skipped_groups": len(groups) - len(learned),
            "rollout/tokens": num_tokens,
            "rollout/tokens_per_second": num_tokens / (sampled_at - start),
            "time/rollout_seconds": sampled_at - start,
            "time/reward_seconds": scored_at - sampled_at,
            "time/update_seconds": time.monotonic() - scored_at,
            "time/step_seconds": time.monotonic() - start,
        }
        return metrics, groups

    def evaluate(self, display: Display) -> None:
        """Held-out evaluation of the policy as it stands, written to ``eval/step_<next step>.json``."""
        step = self.progress.next_step
        result = evaluate(
            self.engine,
            self.policy,
            self.task.held_out,
            self.recipe.evaluation,
            self.recipe.rollout.max_response_tokens,
            self.progress.policy_version,
        )
        row = {"step": step, "figures": result.figures, "samples": result.samples}
        write_json_atomic(self.folder / "eval" / f"step_{step:06d}.json", row)
        display.evaluation(step, result.figures)

    def save(self) -> None:
        """Leave a checkpoint of the step to run next."""
        self.progress = Progress(**{**self.progress.__dict__, "wall_seconds": self.wall_seconds()})
        reference = self.reference.model.state_dict() if self.reference is not None else None
        save_checkpoint(self.folder / "checkpoints", self.progress, self.optimizer.state_dict(), reference)

    def _sample(self, step: int, prompts: Sequence[Prompt], scorer: BackgroundScorer) -> None:
        """Sample a group for each prompt; those complete are scored while others still grow."""
        settings = SamplingSettings(
            group_size=self.recipe.rollout.group_size,
            max_tokens=self.recipe.rollout.max_response_tokens,
            temperature=self.recipe.rollout.temperature,
            seed=self.recipe.seed,
            step=step,
        )
        encoded = [tuple(self.policy.tokenizer.encode(p.text, add_special_tokens=False)) for p in prompts]
        requests = [RolloutRequest(p.prompt_id, ids) for p, ids in zip(prompts, encoded, strict=True)]
        for index, rollouts in self.engine.stream(requests, settings, self.progress.policy_version):
            scorer.submit(index, (prompts[index], encoded[index], rollouts))

    def _score(self, step: int, groups: Sequence[SampledGroup]) -> list[RolloutGroup]:
        truncated_scores_zero = self.recipe.algorithm.truncated == "zero_reward"
        return score_groups(groups, self.recipe.rewards, f"{self.recipe.seed}/{step}", truncated_scores_zero)

    def _refresh_reference(self, step: int) -> None:
        if self.reference is not None and step and step % self.recipe.algorithm.reference_refresh_steps == 0:
            self.reference.model.load_state_dict(self.policy.model.state_dict())

    def learning_rate(self, step: int) -> float:
        """The rate at a step: linear warm-up, then constant or falling to 0."""
        optimizer, num_steps = self.recipe.optimizer, self.recipe.steps
        warmed = min(1.0, (step + 1) / (optimizer.warmup_steps + 1))
        left = (num_steps - step) / num_steps if optimizer.decay == "linear" else 1.0
        return optimizer.lr * min(warmed, left)


def group_metrics(groups: Sequence[RolloutGroup]) -> Metrics:
    """Means over all rollouts of the groups."""
    members = [member for group in groups for member in group.members]
    reflections = [count_reflection_words(member.rollout.text) for member in members]
    metrics = {f"reward/{name}": fmean(m.scores[name] for m in members) for name in members[0].scores}
    return metrics | {
        "reward/total": fmean(member.reward for member in members),
        "rollout/response_tokens": fmean(len(member.rollout.token_ids) for member in members),
        "rollout/truncated_rate": fmean(member.rollout.finish_reason == "length" for member in members),
        "rollout/reflection_rate": fmean(count > 0 for count in reflections),
        "rollout/reflection_words": fmean(reflections),
    }


def _mean_metrics(updates: Sequence[Metrics]) -> Metrics:
    if not updates:
        return {}
    means = {name: fmean(update[name] for update in updates) for name in updates[0]}
    # Only before the first update do sampler and trainer hold the same weights.
    return means | {"policy/logprob_gap": updates[0]["policy/logprob_gap"]}


def _frozen_copy(model: torch.nn.Module) -> torch.nn.Module:
    return copy.deepcopy(model).requires_grad_(False)
