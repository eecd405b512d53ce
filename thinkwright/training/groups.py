"""From scored groups to what the update reads: advantages, and the groups worth learning from."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from thinkwright.algorithms.advantages import AdvantageFunction
from thinkwright.config.algorithm import Algorithm
from thinkwright.types import RolloutGroup, ScoredRollout, TrainingGroup


def with_advantages(
    groups: Sequence[RolloutGroup], algorithm: Algorithm, advantages_of: AdvantageFunction
) -> list[RolloutGroup]:
    """The groups of a step with the advantage of every member that the update reads.

    Those that were not graded take no part, nor does a group whose rewards do not differ, or with fewer than two
    graded members: it would teach nothing.
    """
    assert not any(any(m.rollout.is_forced) for group in groups for m in group.members), "forced tokens teach nothing"
    rewards = torch.tensor([[member.reward for member in group.members] for group in groups])
    is_counted = torch.tensor([[_is_counted(member, algorithm) for member in group.members] for group in groups])
    advantages = advantages_of(rewards, is_counted)
    return [
        _of_group(group, row.tolist(), counts.tolist())
        for group, row, counts in zip(groups, advantages, is_counted, strict=True)
    ]


def training_groups(groups: Sequence[RolloutGroup]) -> list[TrainingGroup]:
    """One training group per group whose members have advantages; the others are skipped."""
    return [
        TrainingGroup(
            prompt_ids=group.prompt_ids,
            completions=tuple(member.rollout.token_ids for member in group.members),
            rollout_logprobs=tuple(member.rollout.logprobs for member in group.members),
            advantages=tuple(member.advantage or 0.0 for member in group.members),
            is_counted=tuple(member.advantage is not None for member in group.members),
        )
        for group in groups
        if any(member.advantage is not None for member in group.members)
    ]


def mini_batches(groups: Sequence[TrainingGroup], count: int) -> list[list[TrainingGroup]]:
    """The groups dealt out into at most ``count`` parts, none empty."""
    return [part for part in ([*groups[i::count]] for i in range(count)) if part]


def _is_counted(member: ScoredRollout, algorithm: Algorithm) -> bool:
    is_whole = member.rollout.finish_reason == "stop"
    return member.outcome == "graded" and (is_whole or algorithm.truncated == "zero_reward")


def _of_group(group: RolloutGroup, advantages: Sequence[float], is_counted: Sequence[bool]) -> RolloutGroup:
    if not any(advantages):
        return group
    members = (
        replace(member, advantage=advantage if counts else None)
        for member, advantage, counts in zip(group.members, advantages, is_counted, strict=True)
    )
    return replace(group, members=tuple(members))
