"""Held-out evaluation of a policy, and what it could do if forced: bare answers, or step by step."""

from collections.abc import Sequence
from typing import Any

from thinkwright.config.recipe import Measurement, RewardWeights
from thinkwright.evaluation.figures import Sample, figures_of, samples_of
from thinkwright.models.policy import Policy
from thinkwright.rewards.score import score_groups
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.types import EvaluationResult, Prompt, RolloutGroup

# Every evaluation of every run draws from the same random numbers: two of them differ by the policy alone.
SEED, _STEP = 0, -1


def evaluate(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: Measurement,
    max_tokens: int,
    policy_version: int = 0,
    forced_start: dict[str, str] | None = None,
) -> EvaluationResult:
    """Sample every held-out prompt and score it. ``forced_start`` by language begins every completion, and counts."""
    sampling = SamplingSettings(settings.samples_per_question, max_tokens, settings.temperature, SEED, _STEP)
    starts = [_encode(policy, forced_start[prompt.language]) if forced_start else () for prompt in prompts]
    prompt_ids = [_encode(policy, prompt.text) for prompt in prompts]
    requests = [
        RolloutRequest(prompt.prompt_id, ids, forced_start=start)
        for prompt, ids, start in zip(prompts, prompt_ids, starts, strict=True)
    ]
    groups = list(zip(prompts, prompt_ids, engine.generate(requests, sampling, policy_version), strict=True))
    scored: list[RolloutGroup] = score_groups(groups, RewardWeights(), "no coin", truncated_scores_zero=True)
    samples: list[Sample] = samples_of(scored)
    figures = figures_of(samples)
    figures["settings"] = {
        "temperature": settings.temperature,
        "top_p": 1.0,
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
    starts: dict[str, dict[str, str]],
) -> dict[str, dict[str, Any]]:
    """Figures of the policy made to answer at once (``bare``) and made to go step by step (``forced``)."""
    return {
        kind: evaluate(engine, policy, prompts, settings, max_tokens, forced_start=starts[kind]).figures
        for kind in ("bare", "forced")
    }


def _encode(policy: Policy, text: str) -> tuple[int, ...]:
    return tuple(policy.tokenizer.encode(text, add_special_tokens=False))
