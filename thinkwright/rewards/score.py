"""From rollouts to rewards: each reward by name, and what they come to together.

A rollout that a grader could not score is never a zero: it keeps what was found, without a reward, and takes no part in
baseline and loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from thinkwright.chat.template import TEMPLATES, Reply
from thinkwright.config.recipe import RLRecipe
from thinkwright.config.rewards import CustomReward, RewardWeights
from thinkwright.errors import GraderError
from thinkwright.rewards.combine import combine
from thinkwright.rewards.length import cosine_length, lazy_length, soft_overlong, target_length
from thinkwright.rewards.pool import Job, Result, Task, WorkerPool
from thinkwright.types import Outcome, Prompt, Rollout, RolloutGroup, ScoredRollout

SampledGroup = tuple[Prompt, tuple[int, ...], Sequence[Rollout]]
"""A prompt, its token ids, and the rollouts sampled for it."""
Scorer = Callable[[Sequence[SampledGroup]], list[RolloutGroup]]
TEXT_SECONDS = 5.0
"""Deadline of the rewards that read a text word by word."""
_OVERLONG_SHARE = 5
LAZY_FROM = 0.75
"""Share of a group that must be right before length is marked down, unless the recipe says another."""
_NUM_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 200


@dataclass
class _Member:
    """A rollout while it is scored."""

    prompt: Prompt
    rollout: Rollout
    reply: Reply
    is_void: bool
    """Cut at the limit where that scores 0."""
    scores: dict[str, float] = field(default_factory=dict[str, float])
    outcome: Outcome = "graded"
    detail: str = ""

    def take(self, name: str, outcome: Outcome, score: float | None, detail: str) -> None:
        """A score, or why there is none."""
        if outcome == "graded" and score is not None:
            self.scores[name] = score
            return
        self.scores.pop(name, None)
        if self.outcome == "graded":
            self.outcome, self.detail = outcome, f"{name}: {detail}"


def score_groups(
    groups: Sequence[SampledGroup],
    rewards: RewardWeights,
    pool: WorkerPool,
    *,
    coin_seed: str = "",
    truncated_scores_zero: bool = True,
    max_tokens: int | None = None,
) -> list[RolloutGroup]:
    """Score every rollout (DeepSeek-R1, arXiv:2501.12948, section 2.2.2: accuracy plus format).

    Accuracy and format are always among the scores, others if they have a weight; those that depend on the limit
    ``max_tokens`` only if it is given. ``random`` is the toss of a coin that depends on ``coin_seed`` and the prompt
    alone. With ``truncated_scores_zero`` a rollout cut at the limit scores 0 in accuracy, format and language, unread.
    Raises GraderError if no grader can work at all.
    """
    scored = [_members(group, truncated_scores_zero) for group in groups]
    everyone = [member for members in scored for member in members]
    _grade(everyone, pool)
    for members in scored:
        _skip_together(members)
    _toss_coins(scored, rewards, coin_seed)
    _score_texts(everyone, rewards, pool)
    if max_tokens is not None:
        _score_lengths(everyone, rewards, max_tokens)
    for members in scored:
        _score_laziness(members, rewards)
    for custom in rewards.custom:
        _call_function(scored, custom, pool)
    return [
        RolloutGroup(prompt, prompt_ids, _rewarded(members, rewards, truncated_scores_zero))
        for (prompt, prompt_ids, _), members in zip(groups, scored, strict=True)
    ]


def score_as_trained(
    groups: Sequence[SampledGroup], recipe: RLRecipe, pool: WorkerPool, coin_seed: str
) -> list[RolloutGroup]:
    """Score every rollout by all that an RL recipe says. Raises as ``score_groups`` does."""
    return score_groups(
        groups,
        recipe.rewards,
        pool,
        coin_seed=coin_seed,
        truncated_scores_zero=recipe.algorithm.truncated == "zero_reward",
        max_tokens=recipe.rollout.max_response_tokens,
    )


def set_aside(groups: Sequence[RolloutGroup]) -> list[dict[str, Any]]:
    """The rollouts that were not graded, and why, as rows for a person."""
    return [
        {
            "prompt_id": group.prompt.prompt_id,
            "outcome": member.outcome,
            "detail": member.detail,
            "completion": _cut(member.rollout.text),
        }
        for group in groups
        for member in group.members
        if member.outcome != "graded"
    ]


def check_error_share(groups: Sequence[RolloutGroup], max_share: float, key: str = "rewards.max_error_share") -> None:
    """Raises GraderError, with examples, if graders failed on more than this share of the rollouts.

    One prompt alone is never too much, unless there is no other: it may be a bad row. ``key``: what the recipe calls
    the share.
    """
    rows, total = set_aside(groups), sum(len(group.members) for group in groups)
    prompts = {row["prompt_id"] for row in rows}
    if len(rows) <= max_share * total or (len(prompts) == 1 and len(groups) > 1):
        return
    examples = "".join(
        f"\n  {row['prompt_id']}: {row['outcome']}: {row['detail']}: {row['completion']!r}"
        for row in rows[:_NUM_EXAMPLES]
    )
    raise GraderError(
        f"{len(rows)} of {total} rollouts could not be graded, more than {key} = {max_share:g}; mend the "
        f"verifier or leave out the rows, then resume the run; for example:{examples}"
    )


def _members(group: SampledGroup, truncated_scores_zero: bool) -> list[_Member]:
    prompt, _, rollouts = group
    members: list[_Member] = []
    for rollout in rollouts:
        reply = TEMPLATES[prompt.template].split(rollout.text)
        is_void = truncated_scores_zero and rollout.finish_reason == "length"
        scores = {"accuracy": 0.0, "format": 0.0 if is_void else float(reply.is_well_formed)}
        members.append(_Member(prompt, rollout, reply, is_void, scores))
    return members


def _grade(members: Sequence[_Member], pool: WorkerPool) -> None:
    to_grade = [(m, m.reply.answer) for m in members if m.reply.answer is not None and not m.is_void]
    verdicts = pool.grade([Job(m.prompt.verifier, answer, m.prompt.gold) for m, answer in to_grade])
    for (member, _), verdict in zip(to_grade, verdicts, strict=True):
        member.take("accuracy", verdict.outcome, verdict.score, verdict.detail)


def _skip_together(members: Sequence[_Member]) -> None:
    """A gold that cannot be compared with says nothing of those that gave no answer, either."""
    skipped = next((member for member in members if member.outcome == "skipped"), None)
    if skipped is not None:
        for member in members:
            member.scores.pop("accuracy", None)
            member.outcome, member.detail = "skipped", skipped.detail


def _toss_coins(groups: Sequence[Sequence[_Member]], rewards: RewardWeights, seed: str) -> None:
    if not rewards.random:
        return
    for members in groups:
        coin = Random(f"coin/{seed}/{members[0].prompt.prompt_id}") if members else Random()
        for member in members:
            member.scores["random"] = float(coin.random() < 0.5)


def _score_texts(members: Sequence[_Member], rewards: RewardWeights, pool: WorkerPool) -> None:
    """The rewards that read the text, in workers like the verifiers."""
    tasks: list[tuple[_Member, Task]] = []
    for member in members:
        if rewards.language:
            member.scores["language"] = 0.0
            if member.reply.thought and not member.is_void:
                language = rewards.language_target or member.prompt.language
                # Words of the question, such as names, are left out; not if its language is the wrong one.
                is_own = language == member.prompt.language
                arguments = member.reply.thought, member.prompt.question if is_own else ""
                tasks.append((member, Task("language", language, arguments, TEXT_SECONDS)))
        if rewards.repetition:
            arguments = member.rollout.text, rewards.repetition_ngram
            tasks.append((member, Task("repetition", "words", arguments, TEXT_SECONDS)))
    tasks.sort(key=lambda pair: (pair[1].kind, pair[1].name))
    results = pool.run([task for _, task in tasks])
    for (member, task), result in zip(tasks, results, strict=True):
        member.take(task.kind, result.outcome, result.value, result.detail)


def _score_lengths(members: Sequence[_Member], rewards: RewardWeights, max_tokens: int) -> None:
    buffer = rewards.overlong_buffer_tokens or max(1, max_tokens // _OVERLONG_SHARE)
    for member in members:
        num_tokens = len(member.rollout.token_ids)
        if rewards.overlong:
            member.scores["overlong"] = soft_overlong(num_tokens, max_tokens, buffer)
        if rewards.cosine_length and "accuracy" in member.scores:
            # An end token may fall on the last place; only a cut completion is over the limit.
            length = max_tokens if member.rollout.finish_reason == "length" else min(num_tokens, max_tokens - 1)
            member.scores["cosine_length"] = cosine_length(length, max_tokens, member.scores["accuracy"] == 1.0)


def _score_laziness(members: Sequence[_Member], rewards: RewardWeights) -> None:
    """The lengths of a group held against each other, and against a target."""
    for member in members:
        if rewards.target_length_tokens is not None:
            member.scores["target_length"] = target_length(len(member.rollout.token_ids), rewards.target_length_tokens)
    graded = [member for member in members if "accuracy" in member.scores]
    if rewards.lazy_length and graded:
        lengths = [len(member.rollout.token_ids) for member in graded]
        is_correct = [member.scores["accuracy"] == 1.0 for member in graded]
        share = rewards.lazy_length_from if rewards.lazy_length_from is not None else LAZY_FROM
        for member, score in zip(graded, lazy_length(lengths, is_correct, share), strict=True):
            member.scores["lazy_length"] = score


def _call_function(groups: Sequence[Sequence[_Member]], custom: CustomReward, pool: WorkerPool) -> None:
    """A function of the user's own scores a whole group or, if it fails, sets it aside."""
    tasks = [
        Task("function", custom.function, (_replies(members), _prompt(members)), custom.deadline_seconds)
        for members in groups
    ]
    for members, result in zip(groups, pool.run(tasks), strict=True):
        for position, member in enumerate(members):
            member.take(custom.function, result.outcome, _score_at(result, position), result.detail)


def _score_at(result: Result, position: int) -> float | None:
    return result.value[position] if result.outcome == "graded" else None


def _replies(members: Sequence[_Member]) -> list[dict[str, Any]]:
    return [
        {
            "completion": member.rollout.text,
            "thought": member.reply.thought,
            "answer": member.reply.answer,
            "is_truncated": member.rollout.finish_reason == "length",
            "num_tokens": len(member.rollout.token_ids),
        }
        for member in members
    ]


def _prompt(members: Sequence[_Member]) -> dict[str, Any]:
    prompt = members[0].prompt
    return {
        "question": prompt.question,
        "gold": prompt.gold,
        "reference": prompt.reference,
        "family": prompt.family,
        "level": prompt.level,
        "language": prompt.language,
    }


def _rewarded(
    members: Sequence[_Member], rewards: RewardWeights, truncated_scores_zero: bool
) -> tuple[ScoredRollout, ...]:
    graded = [member for member in members if member.outcome == "graded"]
    is_counted = [truncated_scores_zero or member.rollout.finish_reason == "stop" for member in graded]
    found = iter(combine([member.scores for member in graded], rewards, is_counted))
    return tuple(
        ScoredRollout(
            member.rollout,
            member.scores,
            next(found) if member.outcome == "graded" else 0.0,
            member.outcome,
            member.detail,
        )
        for member in members
    )


def _cut(text: str) -> str:
    half = _EXAMPLE_CHARACTERS // 2
    return text if len(text) <= _EXAMPLE_CHARACTERS else f"{text[:half]} ... {text[-half:]}"
