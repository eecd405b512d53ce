"""On-policy distillation: the student samples, the teacher is held against every token, the student moves towards it.

The loss is the reverse KL at each token of the student's own completions (Thinking Machines, "On-Policy Distillation",
2025; GKD, arXiv:2306.13649, with only the student's samples; MiniLLM, arXiv:2306.08543, without its long-term part);
its mean is over all completion tokens of an update. Truncated completions are learned from like the others: a token's
loss depends on what stands before it alone. The rate falls along a cosine after a linear warm-up.

Prompts are derived from (seed, step), sampling from (seed, step, prompt, member), so with a local teacher a resumed run
ends as an uninterrupted one does, bit for bit; with a served one as far as its server repeats itself.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from thinkwright.config.distill import DistillRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.models.policy import Policy, recompute_activations, training_context
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.run_folder import write_json_atomic
from thinkwright.tasks.task import Task
from thinkwright.training.checkpoint import Progress
from thinkwright.training.distill_batch import TaughtSample, num_taught, sample_batches, sample_tree, taught_samples
from thinkwright.training.step_trainer import Measure, StepTrainer
from thinkwright.training.teacher import Teacher
from thinkwright.types import Metrics, Rollout


class DistillTrainer(StepTrainer):
    """The state of one run: student, teacher, optimizer, and where it stands."""

    def __init__(
        self,
        recipe: DistillRecipe,
        policy: Policy,
        teacher: Teacher,
        task: Task,
        engine: RolloutEngine,
        folder: Path,
        started: float,
        measure: Measure | None = None,
        ranks: Ranks = SINGLE,
    ) -> None:
        """``policy`` is the student; ``started`` is when the run began (``time.monotonic``), loading included."""
        self.recipe, self.policy, self.teacher, self.task, self.engine = recipe, policy, teacher, task, engine
        self._sampling_ranks = replace(ranks, is_led=True) if recipe.rollout.samples_apart else ranks
        super().__init__(recipe, policy, folder, started, ranks)
        if recipe.lora is not None:
            engine.use_adapters(self.learner, resolve_model_name(recipe.model))
        if recipe.recompute_activations:
            recompute_activations(self.learner)
        self._measure = measure

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.steps

    def publish(self) -> None:
        """See ``StepTrainer``; the engine takes the weights as well."""
        super().publish()
        self.engine.take_weights(self.progress.policy_version)

    def run_step(self, step: int) -> Metrics:
        """One round: sample, ask the teacher, update. TrainingError if loss or gradient is not finite."""
        start = time.monotonic()
        with self.cutting():
            sampled = self._sample(step)
        sampled_at = time.monotonic()
        rollouts = [rollout for _, group in sampled for rollout in group]
        parts = self._parts(sampled)
        read_at = time.monotonic()
        lr = self.learning_rate(step)
        updates = [self.update(part, lr) for part in parts]
        num_tokens = sum(len(rollout.token_ids) for rollout in rollouts)
        self.progress = Progress(
            next_step=step + 1,
            policy_version=self.progress.policy_version + len(updates),
            rollout_tokens=self.progress.rollout_tokens + num_tokens,
            wall_seconds=self.wall_seconds(),
        )
        self.publish()
        means = {name: fmean(update[name] for update in updates) for name in (updates[0] if updates else ())}
        return means | {
            "optim/lr": lr,
            "policy/version": self.progress.policy_version,
            "rollout/response_tokens": num_tokens / len(rollouts),
            "rollout/truncated_rate": fmean(rollout.finish_reason == "length" for rollout in rollouts),
            "rollout/tokens": num_tokens,
            "rollout/tokens_per_second": num_tokens / (sampled_at - start),
            "time/rollout_seconds": sampled_at - start,
            "time/teacher_seconds": read_at - sampled_at,
            "time/update_seconds": time.monotonic() - read_at,
            "time/step_seconds": time.monotonic() - start,
        }

    def update(self, samples: Sequence[TaughtSample], lr: float) -> Metrics:
        """One optimizer step on the samples. TrainingError, weights untouched, if loss or gradient is not finite."""
        total = num_taught(samples)

        def passes(max_tokens: int) -> float:
            batches = self.ranks.passes(list(sample_batches(samples, max_tokens)))
            return sum(self._backward(batch, total, float(is_own)) for batch, is_own in batches)

        own = self.micro_batch.within(passes, self.optimizer.forget_gradients)
        loss = self.ranks.sums({"loss": own})["loss"]
        norm = self.optimizer.gradient_norm(loss)
        self.optimizer.step(lr, norm, self.recipe.max_grad_norm)
        return {"loss/reverse_kl": loss, "optim/grad_norm": norm}

    def evaluate(self, display: Display) -> None:
        """Figures of the task's held-out questions, if it has any, written to ``eval/step_<next step>.json``."""
        if self._measure is None:
            return
        step = self.progress.next_step
        result = self._measure()
        if not self.ranks.is_first:
            return
        row = {"step": step, "figures": result.figures, "samples": result.samples}
        write_json_atomic(self.folder / "eval" / f"step_{step:06d}.json", row)
        display.evaluation(step, result.figures)

    def _sample(self, step: int) -> list[tuple[tuple[int, ...], tuple[Rollout, ...]]]:
        """The ids of the step's prompts, each with its completions; every rank samples its share of them."""
        rollout, seed = self.recipe.rollout, self.recipe.seed
        prompts = self._sampling_ranks.share(self.task.prompts(seed, step, rollout.prompts_per_step))
        encoded = [self.policy.encode(p.text) for p in prompts]
        requests = [RolloutRequest(p.prompt_id, ids) for p, ids in zip(prompts, encoded, strict=True)]
        settings = SamplingSettings(rollout.group_size, rollout.max_response_tokens, rollout.temperature, seed, step)
        groups = self.engine.generate(requests, settings)
        return self._sampling_ranks.joined(list(zip(encoded, groups, strict=True)))

    def _parts(self, sampled: Sequence[tuple[tuple[int, ...], tuple[Rollout, ...]]]) -> list[list[TaughtSample]]:
        """What the teacher read, dealt out prompt by prompt to the step's updates."""
        groups = [taught_samples(ids, rollouts, self.teacher.num_tokens) for ids, rollouts in sampled]
        read = iter(self.teacher.read([sample for group in groups for sample in group]))
        groups = [[next(read) for _ in group] for group in groups]
        count = self.recipe.mini_batches
        parts = [[sample for group in groups[i::count] for sample in group] for i in range(count)]
        return [part for part in parts if part]

    def _backward(self, samples: Sequence[TaughtSample], num_tokens: int, weight: float) -> float:
        """Add the micro-batch's share of the update's gradient, times ``weight``; returns its share of the loss."""
        tree, learner = sample_tree(samples), self.learner

        def compute() -> Tensor:
            hidden = learner.packed_hidden_states(tree, training_context(tree, learner.device))
            predictors = torch.tensor(tree.predictors, device=learner.device)
            return self.teacher.losses(hidden.index_select(0, predictors), learner.head, tree, samples).sum()

        loss = learner.in_one_pass(compute) * weight / num_tokens
        loss.backward()
        return float(loss.detach())
