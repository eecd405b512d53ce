"""Traces of a teacher, by the prompt that they answer: what joins a group of the policy's own completions (LUFFY)."""

from collections.abc import Sequence
from dataclasses import replace

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.teacher_traces import TeacherTraces as Settings
from thinkwright.errors import DataError
from thinkwright.models.policy import Policy
from thinkwright.training.sft_data import SFTData, load_sft_data
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

Ids = tuple[int, ...]


class TeacherTraces:
    """A rollout for each prompt that has one."""

    def __init__(
        self, settings: Settings, template: str, policy: Policy, held_out: Sequence[Prompt], max_tokens: int
    ) -> None:
        """``max_tokens``: the limit of a completion, for traces as well. Raises DataError for rows that cannot be used,
        or if none can."""
        questions = [prompt.question for prompt in held_out]
        self.data: SFTData = load_sft_data(
            settings.data, TEMPLATES[template], policy, max_tokens=policy.max_positions, evaluated=questions
        )
        rows = [row for row in self.data.training if len(row.completion_ids) <= max_tokens]
        self._num_too_long = len(self.data.training) - len(rows)
        if not rows:
            raise DataError(
                f"teacher_traces: all {self._num_too_long} traces are over rollout.max_response_tokens = {max_tokens}; "
                "raise it, or give shorter ones"
            )
        self._by_prompt: dict[Ids, Rollout] = {}
        for row in rows:
            self._by_prompt.setdefault(tuple(row.prompt_ids), _rollout(tuple(row.completion_ids), policy))

    def of(self, prompt_ids: Ids, policy_version: int) -> tuple[Rollout, ...]:
        """The trace of a prompt, if there is one, as a rollout of that version's group."""
        found = self._by_prompt.get(prompt_ids)
        return () if found is None else (replace(found, policy_version=policy_version),)

    def check(self, prompts: Sequence[Ids]) -> None:
        """Raises DataError if no prompt of a finite task has a trace."""
        if not any(ids in self._by_prompt for ids in prompts):
            raise DataError(
                f"teacher_traces.data: none of {len(self._by_prompt)} traces answers one of the task's "
                f"{len(prompts)} prompts; a trace's question must be the prompt's, letter for letter"
            )

    def notes(self) -> list[str]:
        """What a person should know, a line each."""
        lines = [f"teacher traces: {len(self._by_prompt):,} prompts have one"]
        if self._num_too_long:
            lines.append(f"teacher traces: {self._num_too_long:,} left out, longer than a completion may be")
        return lines


def right_alone(groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
    """The groups, traces that the rules found wrong set aside: nothing is learned from them, for or against."""
    return [replace(group, members=tuple(map(_checked, group.members))) for group in groups]


def _checked(member: ScoredRollout) -> ScoredRollout:
    if not member.rollout.is_taught or member.outcome != "graded" or member.scores.get("accuracy") == 1.0:
        return member
    return replace(member, outcome="skipped", detail="teacher_traces: the rules find this trace wrong")


def drawn_alone(groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
    """The groups without traces: what the policy itself did."""
    return [replace(group, members=tuple(m for m in group.members if not m.rollout.is_taught)) for group in groups]


def _rollout(token_ids: Ids, policy: Policy) -> Rollout:
    zeros = (0.0,) * len(token_ids)
    return Rollout(
        token_ids=token_ids,
        logprobs=zeros,
        untempered_logprobs=(),
        is_forced=(False,) * len(token_ids),
        text=policy.tokenizer.decode(token_ids[:-1], skip_special_tokens=False, clean_up_tokenization_spaces=False),
        finish_reason="stop",
        policy_version=0,
        is_taught=True,
    )
