"""Groups for tests of the update, written in few words."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thinkwright.types import TrainingGroup, TrainingMember


def training_group(
    prompt_ids: Sequence[int],
    completions: Sequence[Sequence[int]],
    rollout_logprobs: Sequence[Sequence[float]],
    advantages: Sequence[float],
    **fields: Sequence[Any],
) -> TrainingGroup:
    """A group whose members have these, each the same advantage for all tokens, which is its reward as well."""
    members = tuple(
        TrainingMember(tuple(tokens), tuple(logprobs), advantage, (advantage,) * len(tokens))
        for tokens, logprobs, advantage in zip(completions, rollout_logprobs, advantages, strict=True)
    )
    return with_members(TrainingGroup(tuple(prompt_ids), members), **fields)


def with_members(group: TrainingGroup, **fields: Sequence[Any]) -> TrainingGroup:
    """The group with other values in fields of its members, one for each (an advantage: of all its tokens)."""
    members = group.members
    for name, values in fields.items():
        rows = zip(members, values, strict=True)
        members = tuple(replace(member, **{name: _of_tokens(member, name, value)}) for member, value in rows)
    return replace(group, members=members)


def _of_tokens(member: TrainingMember, name: str, value: Any) -> Any:
    return (value,) * len(member.token_ids) if name == "advantages" and isinstance(value, float) else value
