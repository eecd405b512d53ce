"""From scored groups to what the update reads: advantages, and the groups worth learning from."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from thinkwright.algorithms.advantages import EPSILON, AdvantageFunction
from thinkwright.config.algorithm import Algorithm
from thinkwright.types import RolloutGroup, ScoredRollout, TrainingGroup

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


def returns(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """The rewards themselves, of which a critic makes the advantages."""
    return rewards * is_counted


def with_token_means(groups: Sequence[RolloutGroup], learned: Sequence[TrainingGroup]) -> list[RolloutGroup]:
    """The groups with the mean of a critic's advantages over the tokens of each member, as far as it was learned from;
    ``learned`` are those of them that were, in order."""
    left = iter(learned)
    return [_of_tokens(group, next(left)) if _is_learned(group) else group for group in groups]


def _of_tokens(group: RolloutGroup, learned: TrainingGroup) -> RolloutGroup:
    assert learned.token_advantages is not None, "a critic judges every group"
    members = (
        replace(member, advantage=fmean(own)) if member.advantage is not None and own else member
        for member, own in zip(group.members, learned.token_advantages, strict=True)
    )
    return replace(group, members=tuple(members))


def _is_learned(group: RolloutGroup) -> bool:
    return any(member.advantage is not None for member in group.members)


def training_groups(groups: Sequence[RolloutGroup]) -> list[TrainingGroup]:
    """One training group per group whose members have advantages; the others are skipped."""
    return [
        TrainingGroup(
            prompt_ids=group.prompt_ids,
            completions=tuple(member.rollout.token_ids for member in group.members),
            rollout_logprobs=tuple(member.rollout.logprobs for member in group.members),
            advantages=tuple(member.advantage or 0.0 for member in group.members),
            is_counted=tuple(member.advantage is not None for member in group.members),
            is_taught=_taught(group),
            is_drawn=_drawn(group),
        )
        for group in groups
        if _is_learned(group)
    ]


def _taught(group: RolloutGroup) -> tuple[bool, ...] | None:
    """Which members are a teacher's traces; None if none is."""
    found = tuple(member.rollout.is_taught for member in group.members)
    return found if any(found) else None


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


def _of_group(group: RolloutGroup, advantages: Sequence[float], algorithm: Algorithm) -> RolloutGroup:
    if not any(advantages) and algorithm.advantage != GAE:
        return group
    members = (
        replace(member, advantage=advantage if _is_counted(member, algorithm) else None)
        for member, advantage in zip(group.members, advantages, strict=False)
    )
    return replace(group, members=tuple(members))
