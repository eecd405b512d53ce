"""From stored completions to rows that figures are made of: told apart, graded, counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from thinkwright.config.rewards import RewardWeights
from thinkwright.errors import GraderError
from thinkwright.evaluation.figures import Sample, samples_of
from thinkwright.evaluation.sample_store import Completion
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import score_groups, set_aside
from thinkwright.types import Prompt, Rollout

CountTokens = Callable[[str], int]
JudgeReplies = Callable[[Sequence[tuple[str, str | None, str]]], Sequence[float | None]]
"""A reward model: a number for each (question, thought, answer); None for one that its context does not hold."""


def score_completions(
    prompts: Sequence[Prompt],
    completions: Sequence[Sequence[Completion]],
    pool: WorkerPool,
    count_tokens: CountTokens | None = None,
) -> tuple[list[Sample], list[dict[str, Any]]]:
    """A row for each completion that could be graded, and one for each that could not, with the reason.

    ``thinking_tokens`` are the server's count, or the thought's tokens as ``count_tokens`` tells them; None without
    either. Raises GraderError if nothing could be graded.
    """
    groups = [(p, (), [_rollout(one) for one in found]) for p, found in zip(prompts, completions, strict=True)]
    scored = score_groups(groups, RewardWeights(), pool)
    graded = [[member.outcome == "graded" for member in group.members] for group in scored]
    rows = samples_of(
        [
            replace(group, members=tuple(m for m, is_in in zip(group.members, kept, strict=True) if is_in))
            for group, kept in zip(scored, graded, strict=True)
        ]
    )
    not_graded = set_aside(scored)
    if not rows:
        raise GraderError(f"none of the completions could be graded: {not_graded[0]['detail']}; mend that")
    origins = [
        one
        for found, kept in zip(completions, graded, strict=True)
        for one, is_in in zip(found, kept, strict=True)
        if is_in
    ]
    for row, origin in zip(rows, origins, strict=True):
        row["response_tokens"] = origin.num_tokens
        row["thinking_tokens"] = _thinking_tokens(row, origin, count_tokens)
    return rows, not_graded


def prefer(samples: Sequence[Sample], judge: JudgeReplies) -> None:
    """Give every row the reward model's ``preference``; None without an answer, or for one too long to be read."""
    shown = [row for row in samples if row["answer"] is not None]
    verdicts = judge([(row["question"], row["thought"] or None, row["answer"]) for row in shown])
    for row in samples:
        row["preference"] = None
    for row, verdict in zip(shown, verdicts, strict=True):
        row["preference"] = verdict


def _rollout(one: Completion) -> Rollout:
    return Rollout(one.token_ids, (), (), (), one.text, one.finish_reason, policy_version=0)


def _thinking_tokens(row: Sample, origin: Completion, count_tokens: CountTokens | None) -> int | None:
    if origin.num_thinking_tokens is not None:
        return origin.num_thinking_tokens
    if count_tokens is None:
        return None
    return min(count_tokens(row["thought"]), origin.num_tokens)
