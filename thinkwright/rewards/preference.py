"""Rewards of prompts that no rule judges: a reward model's verdict, the form, and the language of the thought.

R_general = R_reward_model + R_format, and R_language (DeepSeek-R1, Nature 645, 633, section "Second RL stage"). Well
formed is a thought with an answer, or an answer alone: what needs no thinking is not paid for it.
"""

from collections.abc import Callable, Sequence

from thinkwright.chat.template import TEMPLATES, Reply
from thinkwright.config.rewards import RewardWeights
from thinkwright.rewards.pool import Task, WorkerPool
from thinkwright.rewards.score import TEXT_SECONDS, SampledGroup
from thinkwright.types import RolloutGroup, ScoredRollout

Response = tuple[str, str | None, str]
"""Question, thought if there is one, and answer."""
JudgeResponses = Callable[[Sequence[Response]], Sequence[float | None]]
"""A reward model: 0 to 1 for each response; None for one that its context does not hold."""
OVER_CONTEXT = "over_context"
"""The score, 1 and without a weight, of a response that the reward model's context does not hold."""


def score_by_preference(
    groups: Sequence[SampledGroup],
    name: str,
    judge: JudgeResponses,
    weight: float,
    rewards: RewardWeights,
    pool: WorkerPool,
) -> list[RolloutGroup]:
    """Score every rollout.

    A cut one, or one without an answer, is worth nothing and is not shown to the judge; so is one that the judge cannot
    read whole.
    """
    replies = [[TEMPLATES[prompt.template].split(r.text) for r in rollouts] for prompt, _, rollouts in groups]
    shown = [
        (g, m, (groups[g][0].question, reply.thought or None, reply.answer))
        for g, members in enumerate(replies)
        for m, reply in enumerate(members)
        if reply.answer is not None and groups[g][2][m].finish_reason == "stop"
    ]
    verdicts = judge([response for _, _, response in shown])
    scores = [[{name: 0.0, "format": 0.0} for _ in members] for members in replies]
    for (g, m, _), verdict in zip(shown, verdicts, strict=True):
        reply = replies[g][m]
        if verdict is None:
            scores[g][m][OVER_CONTEXT] = 1.0
            continue
        scores[g][m] = {name: verdict, "format": float(reply.is_well_formed or reply.is_bare)}
    results = [
        [ScoredRollout(rollout, found, 0.0) for rollout, found in zip(rollouts, of_group, strict=True)]
        for (_, _, rollouts), of_group in zip(groups, scores, strict=True)
    ]
    if rewards.language:
        _score_languages(groups, replies, results, rewards.language_target, pool)
    weights = {name: weight, OVER_CONTEXT: 0.0, "format": rewards.format, "language": rewards.language}
    return [
        RolloutGroup(prompt, prompt_ids, tuple(_paid(member, weights) for member in members))
        for (prompt, prompt_ids, _), members in zip(groups, results, strict=True)
    ]


def _score_languages(
    groups: Sequence[SampledGroup],
    replies: Sequence[Sequence[Reply]],
    results: list[list[ScoredRollout]],
    target: str | None,
    pool: WorkerPool,
) -> None:
    """Share of the thought's words in the ``target`` language (None: the question's); 1 without a thought."""
    places: list[tuple[int, int]] = []
    tasks: list[Task] = []
    for g, members in enumerate(replies):
        prompt = groups[g][0]
        language = target or prompt.language
        # Words of the question, such as names, are left out; not if its language is the wrong one.
        left_out = prompt.question if language == prompt.language else ""
        for m, reply in enumerate(members):
            is_whole = groups[g][2][m].finish_reason == "stop" and OVER_CONTEXT not in results[g][m].scores
            results[g][m].scores["language"] = float(reply.is_bare and is_whole)
            if reply.thought and is_whole:
                places.append((g, m))
                tasks.append(Task("language", language, (reply.thought, left_out), TEXT_SECONDS))
    for (g, m), result in zip(places, pool.run(tasks), strict=True):
        member = results[g][m]
        if result.outcome == "graded" and result.value is not None:
            member.scores["language"] = result.value
        else:
            member.scores.pop("language")
            results[g][m] = ScoredRollout(
                member.rollout, member.scores, 0.0, result.outcome, f"language: {result.detail}"
            )


def _paid(member: ScoredRollout, weights: dict[str, float]) -> ScoredRollout:
    if member.outcome != "graded":
        return member
    reward = sum(weights[name] * score for name, score in member.scores.items())
    return ScoredRollout(member.rollout, member.scores, reward)
