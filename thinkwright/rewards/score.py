"""From rollouts to rewards: each by name, and their weighted sum."""

from collections.abc import Sequence
from random import Random

from thinkwright.chat.template import Reply, split_reply
from thinkwright.config.recipe import RewardWeights
from thinkwright.rewards.program_runner import judge_programs
from thinkwright.rewards.verifiers import VERIFIERS
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

SampledGroup = tuple[Prompt, tuple[int, ...], Sequence[Rollout]]
"""A prompt, its token ids, and the rollouts sampled for it."""


def score_groups(
    groups: Sequence[SampledGroup], weights: RewardWeights, coin_seed: str, truncated_scores_zero: bool
) -> list[RolloutGroup]:
    """Score every rollout (DeepSeek-R1, arXiv:2501.12948, section 2.2.2: accuracy plus format).

    Accuracy is 1 if the answer after the thought is right by the prompt's verifier; format is 1 if the completion is
    well formed; random is the toss of a coin that depends on ``coin_seed`` and the prompt alone. Accuracy and format
    are always among the scores, others if they have a weight. With ``truncated_scores_zero`` a rollout cut at the limit
    scores 0 in both. Raises GraderError.
    """
    replies = [[split_reply(rollout.text) for rollout in rollouts] for _, _, rollouts in groups]
    verdicts = iter(_judge([(group[0], reply) for group, row in zip(groups, replies, strict=True) for reply in row]))
    scored: list[RolloutGroup] = []
    for (prompt, prompt_ids, rollouts), row in zip(groups, replies, strict=True):
        members: list[ScoredRollout] = []
        coin = Random(f"coin/{coin_seed}/{prompt.prompt_id}")
        for rollout, reply in zip(rollouts, row, strict=True):
            scores = {"accuracy": float(next(verdicts)), "format": float(reply.is_well_formed)}
            if truncated_scores_zero and rollout.finish_reason == "length":
                scores = dict.fromkeys(scores, 0.0)
            if weights.random:
                scores["random"] = float(coin.random() < 0.5)
            members.append(ScoredRollout(rollout, scores, _weighted_sum(scores, weights)))
        scored.append(RolloutGroup(prompt, prompt_ids, tuple(members)))
    return scored


def _judge(replies: Sequence[tuple[Prompt, Reply]]) -> list[bool]:
    """Whether each reply answers its prompt rightly; all programs are run together."""
    programs = [
        (reply.answer, prompt.gold)
        for prompt, reply in replies
        if prompt.verifier == "program" and reply.answer is not None
    ]
    verdicts = iter(judge_programs(programs))
    return [
        reply.answer is not None
        and (
            next(verdicts)
            if prompt.verifier == "program"
            else VERIFIERS[prompt.verifier].is_correct(reply.answer, prompt.gold)
        )
        for prompt, reply in replies
    ]


def _weighted_sum(scores: dict[str, float], weights: RewardWeights) -> float:
    weight_of = {"accuracy": weights.accuracy, "format": weights.format, "random": weights.random}
    return sum(weight_of[name] * score for name, score in scores.items())
