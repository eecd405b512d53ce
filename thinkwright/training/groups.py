"""From scored groups to what the update reads: advantages, and the groups worth learning from."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch

from thinkwright.algorithms.advantages import EPSILON, AdvantageFunction
from thinkwright.config.algorithm import Algorithm
from thinkwright.types import RolloutGroup, ScoredRollout, TrainingGroup, TrainingMember

GAE = "gae"
"""The name of the advantage that a critic makes."""


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
    # Groups are of one size, but for those that hold a teacher's trace as well.
    places = range(max(len(group.members) for group in taught))
    members = [[group.members[i] if i < len(group.members) else None for i in places] for group in taught]
    rewards = torch.tensor([[member.reward if member else 0.0 for member in row] for row in members])
    is_counted = torch.tensor(
        [[member is not None and _is_counted(member, algorithm) for member in row] for row in members]
    )
    rows = iter(advantages_of(rewards, is_counted).tolist())
    return [_of_group(group, next(rows), algorithm) if teaches(group, algorithm) else group for group in groups]


def teaches(group: RolloutGroup, algorithm: Algorithm) -> bool:
    """Whether rewards of the members that are counted differ; to a critic, every completion says something."""
    rewards = [member.reward for member in group.members if _is_counted(member, algorithm)]
    return bool(rewards) and (algorithm.advantage == GAE or max(rewards) - min(rewards) > EPSILON)


def training_groups(groups: Sequence[RolloutGroup], algorithm: Algorithm) -> list[TrainingGroup]:
    """One training group per group that is learned from: whose members have advantages, or with a critic, which has yet
    to give them (all are 0), whose members count."""
    if algorithm.advantage == GAE:
        return [_training_group(group, algorithm) for group in groups if teaches(group, algorithm)]
    return [_training_group(group, algorithm) for group in groups if _has_advantages(group)]


def with_token_means(
    groups: Sequence[RolloutGroup], learned: Sequence[TrainingGroup], algorithm: Algorithm
) -> list[RolloutGroup]:
    """The groups with the mean of a critic's advantages over the tokens of each member, as far as it is learned from;
    ``learned`` are those of them that are, in order."""
    left = iter(learned)
    return [_of_tokens(group, next(left)) if teaches(group, algorithm) else group for group in groups]


def _of_tokens(group: RolloutGroup, learned: TrainingGroup) -> RolloutGroup:
    members = (
        replace(member, advantage=fmean(own.advantages)) if own.is_counted and own.advantages else member
        for member, own in zip(group.members, learned.members, strict=True)
    )
    return replace(group, members=tuple(members))


def _has_advantages(group: RolloutGroup) -> bool:
    return any(member.advantage is not None for member in group.members)


def _training_group(group: RolloutGroup, algorithm: Algorithm) -> TrainingGroup:
    return TrainingGroup(group.prompt_ids, tuple(_training_member(member, algorithm) for member in group.members))


def _training_member(member: ScoredRollout, algorithm: Algorithm) -> TrainingMember:
    rollout, is_counted = member.rollout, _is_counted(member, algorithm)
    return TrainingMember(
        token_ids=rollout.token_ids,
        rollout_logprobs=rollout.logprobs,
        reward=member.reward if is_counted else 0.0,
        advantages=(member.advantage or 0.0,) * len(rollout.token_ids),
        is_counted=is_counted,
        is_taught=rollout.is_taught,
        is_drawn=tuple(not forced for forced in rollout.is_forced) if any(rollout.is_forced) else None,
    )


def mini_batches(groups: Sequence[TrainingGroup], count: int) -> list[list[TrainingGroup]]:
    """The groups dealt out into at most ``count`` parts, none empty."""
    return [part for part in ([*groups[i::count]] for i in range(count)) if part]


def _is_counted(member: ScoredRollout, algorithm: Algorithm) -> bool:
    is_whole = member.rollout.finish_reason == "stop"
    return member.outcome == "graded" and (is_whole or algorithm.truncated == "zero_reward")


def _of_group(group: RolloutGroup, advantages: Sequence[float], algorithm: Algorithm) -> RolloutGroup:
    if not any(advantages):
        return group
    members = (
        replace(member, advantage=advantage if _is_counted(member, algorithm) else None)
        for member, advantage in zip(group.members, advantages, strict=False)
    )
    return replace(group, members=tuple(members))
