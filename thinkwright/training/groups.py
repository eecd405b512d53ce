"""From scored groups to what the update reads: advantages, and the groups worth learning from."""

from collections.abc import Sequence

import torch

from thinkwright.algorithms.advantages import group_normalized_advantages
from thinkwright.config.recipe import Algorithm
from thinkwright.types import RolloutGroup, TrainingGroup


def training_groups(groups: Sequence[RolloutGroup], algorithm: Algorithm) -> list[TrainingGroup]:
    """One training group per group whose rewards differ; the others would teach nothing and are skipped.

    Rollouts that were not graded take no part, so a group with fewer than two that were is skipped as well.
    """
    assert not any(any(m.rollout.is_forced) for group in groups for m in group.members), "forced tokens teach nothing"
    rewards = torch.tensor([[member.reward for member in group.members] for group in groups])
    is_counted = torch.tensor(
        [
            [
                m.outcome == "graded" and (algorithm.truncated == "zero_reward" or m.rollout.finish_reason == "stop")
                for m in group.members
            ]
            for group in groups
        ]
    )
    advantages = group_normalized_advantages(rewards, is_counted)
    return [
        TrainingGroup(
            prompt_ids=group.prompt_ids,
            completions=tuple(member.rollout.token_ids for member in group.members),
            rollout_logprobs=tuple(member.rollout.logprobs for member in group.members),
            advantages=tuple(row.tolist()),
            is_counted=tuple(counts.tolist()),
        )
        for group, row, counts in zip(groups, advantages, is_counted, strict=True)
        if bool((row != 0).any())
    ]


def mini_batches(groups: Sequence[TrainingGroup], count: int) -> list[list[TrainingGroup]]:
    """The groups dealt out into at most ``count`` parts, none empty."""
    return [part for part in ([*groups[i::count]] for i in range(count)) if part]
