"""The RL loop: task -> prompts -> rollouts -> rewards -> advantages -> batch -> update.

DeepSeek-R1-Zero (arXiv:2501.12948, section 2.2). The first half of a step, prompts to rewards, is ``step_sampler.py``.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from torch import Tensor

from thinkwright.algorithms.custom import advantage_of
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.distributed.sharding import copy_weights, learner_of
from thinkwright.errors import GuardError, TrainingError
from thinkwright.evaluation.held_out import evaluate
from thinkwright.models.policy import Policy, recompute_activations
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rewards.combine import penalties
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import SampledGroup, check_error_share, set_aside
from thinkwright.rollout.engine import RolloutEngine
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import append_event, write_json_atomic, write_rollouts
from thinkwright.tasks.curriculum import CurriculumTask
from thinkwright.tasks.task import Task
from thinkwright.training.ahead import RolloutsAhead, staleness_metrics
from thinkwright.training.alarms import Alarms
from thinkwright.training.critic import Critic
from thinkwright.training.general import GeneralPrompts, general_metrics, hack_found
from thinkwright.training.groups import mini_batches, training_groups, with_advantages, with_token_means
from thinkwright.training.loop import Read, TrainingLoop
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.reference import reference_of, reference_tensors, renew_reference
from thinkwright.training.rollout_metrics import account, group_metrics, interruption_metrics, speed_metrics
from thinkwright.training.step_sampler import StepSampler
from thinkwright.training.teacher_traces import TeacherTraces, drawn_alone
from thinkwright.training.update import Updater
from thinkwright.types import EvaluationResult, Metrics, RolloutGroup, TrainingGroup

_EXAMPLES_IN_EVENT = 20


class RLTrainer(TrainingLoop[tuple[Metrics, list[RolloutGroup]]]):
    """The state of one RL run: policy, reference policy, optimizer, and where it stands."""

    def __init__(
        self,
        recipe: RLRecipe,
        policy: Policy,
        task: Task,
        pool: WorkerPool,
        engine: RolloutEngine,
        folder: Path,
        started: float,
        general: GeneralPrompts | None = None,
        ranks: Ranks = SINGLE,
        traces: TeacherTraces | None = None,
    ) -> None:
        """``started``: see ``TrainingLoop``.

        Raises RecipeError if the task cannot have the recipe's curriculum.
        """
        super().__init__(recipe, folder, started, ranks)
        self.recipe, self.policy, self.pool, self.general, self.engine = recipe, policy, pool, general, engine
        # Other programs that sample are asked by the first rank alone.
        self.sampling_ranks = replace(ranks, is_led=True) if recipe.rollout.samples_apart else ranks
        # Engines may be at later steps' rollouts when an evaluation is due; vLLM takes both at once.
        are_engines_busy = recipe.rollout.engines is not None
        self._evaluation_engine = self._native_engine() if are_engines_busy else engine
        self._evaluation_ranks = ranks if are_engines_busy else self.sampling_ranks
        self.curriculum = CurriculumTask(recipe.curriculum, task) if recipe.curriculum is not None else None
        self.task: Task = self.curriculum or task
        self.alarms = Alarms(recipe.alarms, recipe.rewards.weights(), penalties(recipe.rewards))
        self.learner = learner_of(policy, ranks, recipe.lora, recipe.seed)
        self.reference = None
        if recipe.algorithm.kl_coef > 0:
            self.reference = reference_of(policy, self.learner, ranks, recipe.lora, recipe.seed)
        if recipe.lora is not None:
            engine.use_adapters(self.learner, resolve_model_name(recipe.model))
        self.optimizer = MasterOptimizer(
            self.learner.model,
            lr=recipe.optimizer.lr,
            betas=(recipe.optimizer.beta1, recipe.optimizer.beta2),
            weight_decay=recipe.optimizer.weight_decay,
        )
        self.updater = Updater(
            self.learner,
            self.reference,
            self.optimizer,
            recipe.algorithm,
            recipe.rollout.temperature,
            recipe.optimizer.micro_batch_tokens,
            ranks,
            max_tokens=recipe.rollout.max_response_tokens,
            trace_shaping=None if recipe.teacher_traces is None else recipe.teacher_traces.shaping,
        )
        self.critic = None
        if recipe.critic is not None:
            self.critic = Critic(policy, recipe.critic, recipe.optimizer, recipe.seed)
        self._advantages_of = advantage_of(recipe.algorithm.advantage) if self.critic is None else None
        if recipe.optimizer.recompute_activations:
            recompute_activations(self.learner)
        self.sampler = StepSampler(recipe, policy, self.task, general, pool, engine, self.sampling_ranks, traces)
        self._ahead = RolloutsAhead(self.sampler, recipe.rollout.max_staleness, recipe.steps)
        self._steps_of = {0: 0}
        """The last step before which each policy version was the newest."""

    def sample_in_turns(self) -> None:
        """Begin no step's rollouts before the one before is learned, whatever ``rollout.max_staleness`` says."""
        self._ahead = RolloutsAhead(self.sampler, 0, self.recipe.steps)

    def _native_engine(self) -> NativeEngine:
        return NativeEngine(self.policy, self.recipe.rollout.slots, self.recipe.rollout.memory_bytes)

    @property
    def num_steps(self) -> int:
        """See ``TrainingLoop``."""
        return self.recipe.steps

    def resume(self, display: Display) -> None:
        """See ``TrainingLoop``."""
        super().resume(display)
        if self.ranks.is_first:
            self.alarms.replay(self.folder)

    def restore(self, read: Read) -> None:
        """See ``TrainingLoop``."""
        reference = self._reference_tensors()
        self.optimizer.restore(lambda tensors: read(tensors | reference))
        if self.critic is not None:
            self.critic.restore(read)
        if self.curriculum is not None and self.progress.curriculum is not None:
            self.curriculum.load_state(self.progress.curriculum)
        self._steps_of = {self.progress.policy_version: self.progress.next_step}

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainingLoop``."""
        critic = self.critic.tensors() if self.critic is not None else {}
        return self.optimizer.tensors() | self._reference_tensors() | critic

    def save(self) -> None:
        """See ``TrainingLoop``."""
        if self.curriculum is not None:
            self.progress = replace(self.progress, curriculum=self.curriculum.state(self.progress.next_step))
        super().save()

    def publish(self) -> None:
        """See ``TrainingLoop``; the engine takes the weights as well."""
        copy_weights(self.learner, self.policy)
        self.engine.take_weights(self.progress.policy_version)

    def evaluates_before(self, step: int) -> bool:
        """See ``TrainingLoop``."""
        first_general = None if self.recipe.general is None else self.recipe.general.first_step
        return step % self.recipe.evaluation.every_steps == 0 or step == first_general

    def record(self, step: int, made: tuple[Metrics, Sequence[RolloutGroup]], display: Display) -> None:
        """See ``TrainingLoop``."""
        metrics, groups = made
        critics = self.critic.micro_batch.told() if self.critic is not None else []
        self.record_metrics(step, metrics, self.updater.micro_batch.told() + critics, display)
        write_rollouts(self.folder / "rollouts" / f"step_{step:06d}.jsonl.zst", groups)
        self._report_set_aside(step, groups, display)
        self._raise_alarms(step, self.alarms.check(step, metrics, drawn_alone(groups)), display)

    def run_step(self, step: int) -> tuple[Metrics, list[RolloutGroup]]:
        """One round: sample, score, update. Returns the step's metrics and its scored groups.

        Every rank samples and scores its share of the prompts; from the groups of all, all ranks make the update.
        """
        self._refresh_reference(step)
        start = time.monotonic()
        with self.ranks.doing(f"sampling of step {step + 1}"):
            with self.cutting():
                found = self._ahead.take(step)
            taken = time.monotonic() - start
            by_rule = self.sampling_ranks.joined(found.by_rule)
        with self.cutting():
            judged = self.judged(found.to_judge)
        groups = [*by_rule, *(group for of_set in judged.values() for group in of_set)]
        check_error_share(drawn_alone(groups), self.recipe.rewards.max_error_share)
        scored_at = time.monotonic()
        waited = max(0.0, taken - found.late_seconds)
        try:
            groups, learned, foretold = self.advantages(by_rule, groups[len(by_rule) :])
            updates = self.learn(step, learned)
        except TrainingError as error:
            raise TrainingError(f"{error} {self._kept_for_a_look(step, groups)}") from error
        updated_at = time.monotonic()
        by_rule, drawn = drawn_alone(by_rule), drawn_alone(groups)
        num_tokens = sum(len(m.rollout.token_ids) for group in drawn for m in group.members)
        self.progress = replace(
            self.progress,
            next_step=step + 1,
            rollout_tokens=self.progress.rollout_tokens + num_tokens,
            wall_seconds=self.wall_seconds(),
        )
        metrics = group_metrics(by_rule) | general_metrics(judged) | foretold | self._update_metrics(updates)
        if self.recipe.teacher_traces is not None:
            traces = sum(member.rollout.is_taught for group in groups for member in group.members)
            metrics["rollout/traces"] = traces
        if self.recipe.rollout.thinking_budget is not None:
            metrics |= interruption_metrics(drawn)
        if self.recipe.rollout.max_staleness > 0:
            metrics |= staleness_metrics(drawn, self._steps_of, step)
        self._steps_of[self.progress.policy_version] = step + 1
        if self.curriculum is not None:
            self.curriculum.observe(step, by_rule)
            metrics |= self.curriculum.metrics()
        metrics |= {
            "optim/lr": self.learning_rate(step),
            "policy/version": self.progress.policy_version,
            "rollout/skipped_groups": len(groups) - len(learned),
            "rollout/tokens": num_tokens,
            **account(drawn),
            **speed_metrics(
                num_tokens, found.sampling_seconds, by_rule, found.scoring_seconds, learned, updated_at - scored_at
            ),
            "time/rollout_seconds": waited,
            "time/reward_seconds": scored_at - start - waited,
            "time/update_seconds": updated_at - scored_at,
            "time/step_seconds": time.monotonic() - start,
        }
        return metrics, groups

    def advantages(self, *kinds: Sequence[RolloutGroup]) -> tuple[list[RolloutGroup], Sequence[TrainingGroup], Metrics]:
        """The groups of a step with their advantages, those of them that are learned from, and a critic's figures.

        Rules and reward models give rewards of other spreads, so each kind is a batch of its own.
        """
        settings = self.recipe.algorithm
        if self._advantages_of is not None:
            groups = [group for kind in kinds for group in with_advantages(kind, settings, self._advantages_of)]
            return groups, training_groups(groups, settings), {}
        assert self.critic is not None
        groups = [group for kind in kinds for group in kind]
        learned, foretold = self.critic.judged(training_groups(groups, settings))
        return with_token_means(groups, learned, settings), learned, foretold

    def learn(self, step: int, groups: Sequence[TrainingGroup]) -> list[Metrics]:
        """The step's updates, and the new weights to what samples, as a new version; returns each update's metrics."""
        lr, max_grad_norm = self.learning_rate(step), self.recipe.optimizer.max_grad_norm
        is_corrected = self.recipe.samples_differ
        with self.ranks.doing(f"update of step {step + 1}"):
            parts = mini_batches(groups, self.recipe.algorithm.mini_batches)
            # The first part meets the weights as they were: its own pass says what they make of its tokens.
            later = [self.updater.with_old_logprobs(part) if is_corrected else part for part in parts[1:]]
            updates = [
                self.updater.update(
                    part, lr, max_grad_norm, is_corrected=is_corrected, seed=f"{self.recipe.seed}/{step}/{number}"
                )
                for number, part in enumerate([*parts[:1], *later])
            ]
            if self.critic is not None:
                of_critic = [self.critic.update(part, self._rate_share(step, 0)) for part in parts]
                updates = [metrics | own for metrics, own in zip(updates, of_critic, strict=True)]
            self.progress = replace(self.progress, policy_version=self.progress.policy_version + len(updates))
            self.publish()
        return updates

    def _update_metrics(self, updates: Sequence[Metrics]) -> Metrics:
        """Means over a step's updates, but the gap to the sampler: that is of the first, before which weights are as
        they were. Where those of the samples are older by design, it says something else, and has another name."""
        if not updates:
            return {}
        names = dict.fromkeys(name for update in updates for name in update)
        means = {name: fmean(update[name] for update in updates if name in update) for name in names}
        del means["policy/logprob_gap"]
        name = "policy/off_policy_gap" if self.recipe.rollout.max_staleness > 0 else "policy/logprob_gap"
        return means | {name: updates[0]["policy/logprob_gap"]}

    def _kept_for_a_look(self, step: int, groups: Sequence[RolloutGroup]) -> str:
        """Leave the rollouts of a step that could not be learned from, and say where. A resumed run keeps them, too."""
        path = self.folder / "failed" / f"step_{step:06d}.jsonl.zst"
        if self.ranks.is_first:
            write_rollouts(path, groups)
            append_event(self.folder, "failed_step", step=step, rollouts=str(path))
        return f"The step's rollouts are in {path}; no checkpoint of it is written, the newest one is whole"

    def judged(self, sampled: Sequence[tuple[str, SampledGroup]]) -> dict[str, list[RolloutGroup]]:
        """The groups of all ranks that reward models judge, by their set's name."""
        if self.general is None:
            return {}
        own = self.general.score(sampled, self.recipe.rewards, self.pool)
        judged: dict[str, list[RolloutGroup]] = {name: [] for name in own}
        for name, group in self.sampling_ranks.joined(
            [(name, group) for name, groups in own.items() for group in groups]
        ):
            judged[name].append(group)
        return judged

    def evaluate(self, display: Display) -> None:
        """See ``TrainingLoop``."""
        step = self.progress.next_step
        result = evaluate(
            self._evaluation_engine,
            self.policy,
            self.task.held_out,
            self.recipe.evaluation,
            self.recipe.rollout.max_response_tokens,
            self.pool,
            ranks=self._evaluation_ranks,
        )
        if self.ranks.is_first:
            self._record_evaluation(step, result, display)
        self._heed_guard(step)

    def _record_evaluation(self, step: int, result: EvaluationResult, display: Display) -> None:
        row = {"step": step, "figures": result.figures, "samples": result.samples}
        write_json_atomic(self.folder / "eval" / f"step_{step:06d}.json", row)
        display.evaluation(step, result.figures)
        if counts := result.figures["set_aside"]:
            display.note(f"held-out at step {step}: left out, since graders could not score them: {_counted(counts)}")
        self._raise_alarms(step, self.alarms.check_evaluation(step, result.figures), display)

    def _reference_tensors(self) -> dict[str, Tensor]:
        """The reference policy's weights as a checkpoint names them."""
        found = reference_tensors(self.reference) if self.reference is not None else {}
        return {f"reference/{name}": tensor for name, tensor in found.items()}

    def _heed_guard(self, step: int) -> None:
        """Raises GuardError, a checkpoint left behind, if the preference reward is found to be hacked."""
        settings = self.recipe.general
        if settings is None or settings.guard is None:
            return
        found = hack_found(self.folder, settings.guard, settings.first_step) if self.ranks.is_first else None
        found = self.ranks.first(found)
        if found is None:
            return
        if step > 0:
            self.save()
        if self.ranks.is_first:
            append_event(self.folder, "guard", step=step, text=found)
        raise GuardError(
            f"{self.folder}: stopped by general.guard: {found}; begin the preference reward later "
            "(general.first_step), lower general.weight or the shares, or give the reward model pairs that tell"
        )

    def _report_set_aside(self, step: int, groups: Sequence[RolloutGroup], display: Display) -> None:
        """Count and list the rollouts that graders could not score; all of them stand in ``rollouts/`` as well."""
        rows = set_aside(groups)
        if not rows:
            return
        counts = Counter(row["outcome"] for row in rows)
        display.note(f"step {step + 1}: set aside, since graders could not score them: {_counted(counts)}")
        examples = rows[:_EXAMPLES_IN_EVENT]
        append_event(self.folder, "set_aside", step=step, counts=dict(counts), examples=examples)

    def _raise_alarms(self, step: int, texts: Sequence[str], display: Display) -> None:
        for text in texts:
            display.note(f"ALARM {text}")
            append_event(self.folder, "alarm", step=step, text=text)

    def _refresh_reference(self, step: int) -> None:
        if self.reference is not None and step and step % self.recipe.algorithm.reference_refresh_steps == 0:
            renew_reference(self.learner, self.reference)
            if self.recipe.algorithm.reference_refresh_optimizer:
                self.optimizer.begin_anew()

    def learning_rate(self, step: int) -> float:
        """The policy's rate at a step; 0 while a critic learns alone."""
        first = self.recipe.critic.pretrain_steps if self.recipe.critic is not None else 0
        return self.recipe.optimizer.lr * self._rate_share(step, first) if step >= first else 0.0

    def _rate_share(self, step: int, first_step: int) -> float:
        """Linear warm-up from the first step on, then constant or falling to 0."""
        optimizer, num_steps = self.recipe.optimizer, self.recipe.steps
        warmed = min(1.0, (step - first_step + 1) / (optimizer.warmup_steps + 1))
        left = (num_steps - step) / num_steps if optimizer.decay == "linear" else 1.0
        return min(warmed, left)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
