"""The rollouts of a step: its prompts, their completions, and the rewards that rules give while others still grow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from thinkwright.config.recipe import RLRecipe
from thinkwright.distributed.ranks import Ranks
from thinkwright.models.policy import Policy
from thinkwright.rewards.background import BackgroundScorer
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import SampledGroup, score_groups
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.tasks.curriculum import CurriculumTask
from thinkwright.tasks.task import Task
from thinkwright.training.general import GeneralPrompts
from thinkwright.training.rollout_metrics import Timed
from thinkwright.types import Prompt, RolloutGroup


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
    ) -> None:
        """``ranks``: those that share the sampling out."""
        self._recipe, self._policy, self._task, self._general = recipe, policy, task, general
        self._pool, self._engine, self._ranks = pool, engine, ranks

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

    def rollouts(self, step: int, prompts: StepPrompts, policy_version: int) -> StepRollouts:
        """A group for each prompt; those judged by rules are scored while others still grow.

        Raises what engine and scoring raise.
        """
        start = time.monotonic()
        scoring = Timed(lambda groups: self._score(step, groups))
        with BackgroundScorer(scoring) as scorer:
            to_judge = self._sample(step, prompts, policy_version, scorer)
            sampled_at = time.monotonic()
            by_rule = scorer.results()
        late = time.monotonic() - sampled_at
        return StepRollouts(by_rule, to_judge, sampled_at - start, late, scoring.seconds)

    def _sample(
        self, step: int, prompts: StepPrompts, policy_version: int, scorer: BackgroundScorer
    ) -> list[tuple[str, SampledGroup]]:
        """Gives back the groups that reward models will judge, with their sets' names, in order."""
        rollout = self._recipe.rollout
        settings = SamplingSettings(
            group_size=rollout.group_size,
            max_tokens=rollout.max_response_tokens,
            temperature=rollout.temperature,
            seed=self._recipe.seed,
            step=step,
            ignore_end=prompts.lengths is not None,
        )
        everyone = [*prompts.by_rule, *(prompt for _, prompt in prompts.to_judge)]
        encoded = [tuple(self._policy.tokenizer.encode(p.text, add_special_tokens=False)) for p in everyone]
        lengths = prompts.lengths or [None] * len(everyone)
        requests = [
            RolloutRequest(prompt.prompt_id, ids, max_tokens=own)
            for prompt, ids, own in zip(everyone, encoded, lengths, strict=True)
        ]
        waiting: dict[int, SampledGroup] = {}
        num_ruled = len(prompts.by_rule)
        for index, rollouts in self._engine.stream(requests, settings, policy_version):
            group = everyone[index], encoded[index], rollouts
            if index < num_ruled:
                scorer.submit(index, group)
            else:
                waiting[index - num_ruled] = group
        return [(prompts.to_judge[index][0], group) for index, group in sorted(waiting.items())]

    def _score(self, step: int, groups: Sequence[SampledGroup]) -> list[RolloutGroup]:
        return score_groups(
            groups,
            self._recipe.rewards,
            self._pool,
            coin_seed=f"{self._recipe.seed}/{step}",
            truncated_scores_zero=self._recipe.algorithm.truncated == "zero_reward",
            max_tokens=self._recipe.rollout.max_response_tokens,
        )
