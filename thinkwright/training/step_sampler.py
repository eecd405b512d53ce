"""The rollouts of a step: its prompts, their completions, and the rewards that rules give while others still grow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from thinkwright.config.recipe import RLRecipe
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import RecipeError
from thinkwright.evaluation.strategies import thinking_budget
from thinkwright.models.policy import Policy
from thinkwright.rewards.background import BackgroundScorer
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import SampledGroup, score_as_trained
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings, ThinkingBudget
from thinkwright.tasks.curriculum import CurriculumTask
from thinkwright.tasks.exclusion import row_id
from thinkwright.tasks.task import Task
from thinkwright.training.general import GeneralPrompts
from thinkwright.training.groups import teaches
from thinkwright.training.rollout_metrics import Timed
from thinkwright.training.teacher_traces import TeacherTraces, right_alone
from thinkwright.types import Prompt, Rollout, RolloutGroup


@dataclass(frozen=True)
class StepPrompts:
    """This rank's share of a step's prompts."""

    by_rule: Sequence[Prompt]
    to_judge: Sequence[tuple[str, Prompt]]
    """With the names of their sets; reward models judge them."""
    lengths: Sequence[tuple[int, ...]] | None = None
    """For measurements: how long the completions of each prompt become, whatever they say."""


@dataclass(frozen=True)
class StepRollouts:
    """What became of them."""

    by_rule: list[RolloutGroup]
    """Scored."""
    to_judge: list[tuple[str, SampledGroup]]
    sampling_seconds: float
    late_seconds: float
    """How long the last scores came after the last completion."""
    scoring_seconds: float
    """That rules were at work, most of them beside the sampling."""


def check_budget(recipe: RLRecipe, policy: Policy) -> None:
    """Raises RecipeError for a thinking budget that leaves no room for what closes the thought."""
    if recipe.rollout.thinking_budget is None:
        return
    high, limit = recipe.rollout.thinking_budget[1], recipe.rollout.max_response_tokens
    num_given = len(thinking_budget(policy, recipe.template, high).forced)
    if high + num_given >= limit:
        raise RecipeError(
            f"rollout.thinking_budget: {high} and the {num_given} tokens that close the thought leave no room for an "
            f"answer within max_response_tokens = {limit}; lower it to {limit - num_given - 1} or less"
        )


class StepSampler:
    """Makes a step's rollouts with an engine; holds no state of its own."""

    def __init__(
        self,
        recipe: RLRecipe,
        policy: Policy,
        task: Task,
        general: GeneralPrompts | None,
        pool: WorkerPool,
        engine: RolloutEngine,
        ranks: Ranks,
        traces: TeacherTraces | None = None,
    ) -> None:
        """``ranks``: those that share the sampling out. ``traces`` join the groups that rules judge."""
        self._recipe, self._policy, self._task, self._general = recipe, policy, task, general
        self._pool, self._engine, self._ranks, self._traces = pool, engine, ranks, traces

    def prompts(self, step: int) -> StepPrompts:
        """To be asked for once a step, in order."""
        count, seed = self._recipe.rollout.prompts_per_step, self._recipe.seed
        asked = self._general.prompts(seed, step, count) if self._general is not None else []
        by_rule = self._ruled_prompts(step, count - len(asked))
        return StepPrompts(self._ranks.share(by_rule), self._ranks.share(asked))

    def _ruled_prompts(self, step: int, count: int) -> list[Prompt]:
        """The step's prompts that rules judge.

        A task's place in its rows is step times count, so it is always asked for as many as a step has in all: else its
        order would jump at the first general step. A curriculum keeps its place itself.
        """
        if isinstance(self._task, CurriculumTask):
            return self._task.prompts(self._recipe.seed, step, count)
        return self._task.prompts(self._recipe.seed, step, self._recipe.rollout.prompts_per_step)[:count]

    def rollouts(self, step: int, prompts: StepPrompts) -> StepRollouts:
        """A group for each prompt; those judged by rules are scored while others still grow.

        With ``rollout.refill_rounds``, other prompts are sampled for those whose group teaches nothing; both are given
        back (dynamic sampling: DAPO, arXiv:2503.14476).

        Raises what engine and scoring raise.
        """
        found = self._round(step, prompts)
        seen = {row_id(group.prompt.prompt_id) for group in found.by_rule}
        for number in range(1, self._recipe.rollout.refill_rounds + 1):
            missing = len(prompts.by_rule) - sum(teaches(group, self._recipe.algorithm) for group in found.by_rule)
            if missing <= 0:
                break
            others = [prompt for prompt in self._others(step, number) if row_id(prompt.prompt_id) not in seen][:missing]
            if not others:  # a small task has come round to prompts that this step has had
                continue
            seen |= {row_id(prompt.prompt_id) for prompt in others}
            more = self._round(step, StepPrompts(others, ()))
            found = StepRollouts(
                [*found.by_rule, *more.by_rule],
                found.to_judge,
                found.sampling_seconds + more.sampling_seconds,
                found.late_seconds + more.late_seconds,
                found.scoring_seconds + more.scoring_seconds,
            )
        return found

    def _others(self, step: int, number: int) -> list[Prompt]:
        """Prompts in place of those that taught nothing, as those of a step after the run's last."""
        recipe = self._recipe
        return self._task.prompts(recipe.seed, recipe.steps * number + step, recipe.rollout.prompts_per_step)

    def _round(self, step: int, prompts: StepPrompts) -> StepRollouts:
        start = time.monotonic()
        scoring = Timed(lambda groups: self._score(step, groups))
        with BackgroundScorer(scoring) as scorer:
            to_judge = self._sample(step, prompts, scorer)
            sampled_at = time.monotonic()
            by_rule = scorer.results()
        late = time.monotonic() - sampled_at
        return StepRollouts(by_rule, to_judge, sampled_at - start, late, scoring.seconds)

    def _sample(self, step: int, prompts: StepPrompts, scorer: BackgroundScorer) -> list[tuple[str, SampledGroup]]:
        """Gives back the groups that reward models will judge, with their sets' names, in order."""
        rollout = self._recipe.rollout
        settings = SamplingSettings(
            group_size=rollout.group_size,
            max_tokens=rollout.max_response_tokens,
            temperature=rollout.temperature,
            seed=self._recipe.seed,
            step=step,
            thinking_budget=self._budget(step),
            ignore_end=prompts.lengths is not None,
        )
        everyone = [*prompts.by_rule, *(prompt for _, prompt in prompts.to_judge)]
        encoded = [self._policy.encode(p.text) for p in everyone]
        lengths = prompts.lengths or [None] * len(everyone)
        requests = [
            RolloutRequest(prompt.prompt_id, ids, max_tokens=own)
            for prompt, ids, own in zip(everyone, encoded, lengths, strict=True)
        ]
        waiting: dict[int, SampledGroup] = {}
        num_ruled = len(prompts.by_rule)
        for index, rollouts in self._engine.stream(requests, settings):
            group = everyone[index], encoded[index], rollouts
            if index < num_ruled:
                scorer.submit(index, (everyone[index], encoded[index], (*rollouts, *self._taught(encoded[index]))))
            else:
                waiting[index - num_ruled] = group
        return [(prompts.to_judge[index][0], group) for index, group in sorted(waiting.items())]

    def _taught(self, prompt_ids: tuple[int, ...]) -> tuple[Rollout, ...]:
        """A teacher's traces for a prompt."""
        return () if self._traces is None else self._traces.of(prompt_ids, self._engine.policy_version)

    def _budget(self, step: int) -> ThinkingBudget | None:
        """Drawn for each step, so that the policy learns to come to an answer whatever it is given."""
        bounds = self._recipe.rollout.thinking_budget
        if bounds is None:
            return None
        amount = Random(f"thinking budget/{self._recipe.seed}/{step}").randint(*bounds)
        return thinking_budget(self._policy, self._recipe.template, amount)

    def _score(self, step: int, groups: Sequence[SampledGroup]) -> list[RolloutGroup]:
        scored = score_as_trained(groups, self._recipe, self._pool, coin_seed=f"{self._recipe.seed}/{step}")
        return right_alone(scored) if self._traces is not None else scored
