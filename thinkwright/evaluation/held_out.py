"""Held-out evaluation of a policy, and what it could do if forced: bare answers, or step by step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thinkwright.config.recipe import Measurement
from thinkwright.config.rewards import RewardWeights
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import GraderError
from thinkwright.evaluation.figures import Sample, figures_of, samples_of
from thinkwright.models.policy import Policy
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import score_groups, set_aside
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.types import EvaluationResult, Prompt, RolloutGroup

# Every evaluation of every run draws from the same random numbers: two of them differ by the policy alone.
SEED, _STEP = 0, -1
_NUM_EXAMPLES = 5


def evaluate(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: Measurement,
    max_tokens: int,
    pool: WorkerPool,
    forced_start: dict[str, str] | None = None,
    ranks: Ranks = SINGLE,
) -> EvaluationResult:
    """Sample every held-out prompt and score it. ``forced_start`` by language begins every completion, and counts.

    Every rank samples and scores its share; all get the figures of all.

    Completions that graders could not score are neither right nor wrong: they are left out of the means and counted.
    Raises GraderError if there are no others.
    """
    sampling = SamplingSettings(
        settings.samples_per_question, max_tokens, settings.temperature, SEED, _STEP, top_p=settings.top_p
    )
    own = ranks.share(prompts)
    starts = [policy.encode(forced_start[prompt.language]) if forced_start else () for prompt in own]
    prompt_ids = [policy.encode(prompt.text) for prompt in own]
    requests = [
        RolloutRequest(prompt.prompt_id, ids, forced_start=start)
        for prompt, ids, start in zip(own, prompt_ids, starts, strict=True)
    ]
    groups = list(zip(own, prompt_ids, engine.generate(requests, sampling), strict=True))
    scored = ranks.joined(score_groups(groups, RewardWeights(), pool))
    samples: list[Sample] = samples_of(_graded(scored))
    not_graded = set_aside(scored)
    if not samples:
        raise GraderError(f"none of the held-out completions could be graded: {not_graded[0]['detail']}; mend that")
    figures = figures_of(samples)
    figures["set_aside"] = dict(Counter(row["outcome"] for row in not_graded))
    figures["set_aside_examples"] = not_graded[:_NUM_EXAMPLES]
    figures["settings"] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "samples_per_question": settings.samples_per_question,
        "num_questions": len(prompts),
        "max_response_tokens": max_tokens,
        "seed": SEED,
        "forced_start": forced_start,
    }
    return EvaluationResult(figures, samples)


def bare_and_forced(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: Measurement,
    max_tokens: int,
    pool: WorkerPool,
    starts: dict[str, dict[str, str]],
    ranks: Ranks = SINGLE,
) -> dict[str, dict[str, Any]]:
    """Figures of the policy made to answer at once (``bare``) and made to go step by step (``forced``)."""
    return {
        kind: evaluate(
            engine, policy, prompts, settings, max_tokens, pool, forced_start=starts[kind], ranks=ranks
        ).figures
        for kind in ("bare", "forced")
    }


def _graded(groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
    return [replace(group, members=tuple(m for m in group.members if m.outcome == "graded")) for group in groups]
