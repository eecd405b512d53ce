"""From scored groups to what the update reads: advantages, and the groups worth learning from."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from thinkwright.algorithms.advantages import EPSILON, AdvantageFunction
from thinkwright.config.algorithm import Algorithm
from thinkwright.types import RolloutGroup, ScoredRollout, TrainingGroup


def with_advantages(
    groups: Sequence[RolloutGroup], algorithm: Algorithm, advantages_of: AdvantageFunction
) -> list[RolloutGroup]:
    """The groups of a step with the advantage of every member that the update reads.

    Those that were not graded take no part, nor does a group whose rewards do not differ, or with fewer than two
    graded members: it would teach nothing, and is no part of the batch that some advantages are divided by the spread
    of.
    """
    taught = [group for group in groups if teaches(group, algorithm)]
    if not taught:
        return list(groups)
    rewards = torch.tensor([[member.reward for member in group.members] for group in taught])
    is_counted = torch.tensor([[_is_counted(member, algorithm) for member in group.members] for group in taught])
    rows = zip(advantages_of(rewards, is_counted).tolist(), is_counted.tolist(), strict=True)
    return [_of_group(group, *next(rows)) if teaches(group, algorithm) else group for group in groups]


def teaches(group: RolloutGroup, algorithm: Algorithm) -> bool:
    """Whether rewards of the members that are counted differ."""
    rewards = [member.reward for member in group.members if _is_counted(member, algorithm)]
    return bool(rewards) and max(rewards) - min(rewards) > EPSILON


def training_groups(groups: Sequence[RolloutGroup]) -> list[TrainingGroup]:
    """One training group per group whose members have advantages; the others are skipped."""
    return [
        TrainingGroup(
            prompt_ids=group.prompt_ids,
            completions=tuple(member.rollout.token_ids for member in group.members),
            rollout_logprobs=tuple(member.rollout.logprobs for member in group.members),
            advantages=tuple(member.advantage or 0.0 for member in group.members),
            is_counted=tuple(member.advantage is not None for member in group.members),
            is_drawn=_drawn(group),
        )
        for group in groups
        if any(member.advantage is not None for member in group.members)
    ]


def _drawn(group: RolloutGroup) -> tuple[tuple[bool, ...], ...] | None:
    """Which tokens of each completion were drawn; None for all."""
    if not any(any(member.rollout.is_forced) for member in group.members):
        return None
    return tuple(tuple(not forced for forced in member.rollout.is_forced) for member in group.members)


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
