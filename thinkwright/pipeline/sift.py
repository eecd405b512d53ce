"""Which completions become rows to learn from, and why the others do not."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinkwright.chat.template import TAGS, TEMPLATES
from thinkwright.config.rejection import Keep
from thinkwright.rewards.language import language_consistency, question_words
from thinkwright.rewards.repetition import repetition_penalty
from thinkwright.tasks.open_prompts import NO_RULE
from thinkwright.types import Prompt, RolloutGroup, ScoredRollout

NGRAM_WORDS = 20
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True)
class Kept:
    """A completion that is good enough."""

    prompt: Prompt
    member: ScoredRollout
    position: int
    """In its group: with seed, step and prompt it tells how the completion was sampled."""
    thought: str
    """Empty for an answer without a thought."""
    answer: str
    verdicts: tuple[str | None, ...] = ()
    """What a judge said of it, where no rule judges."""


def sift(groups: Sequence[RolloutGroup], keep: Keep) -> tuple[list[Kept], Counter[str]]:
    """The completions without a fault, and how many were dropped for what reason."""
    good: list[Kept] = []
    dropped: Counter[str] = Counter()
    for group in groups:
        for position, member in enumerate(group.members):
            reason = fault_of(group.prompt, member, keep)
            if reason is not None:
                dropped[reason] += 1
                continue
            reply = TEMPLATES[group.prompt.template].split(member.rollout.text)
            good.append(Kept(group.prompt, member, position, reply.thought, reply.answer or ""))
    return good, dropped


def choose(good: Sequence[Kept], per_prompt: int) -> tuple[list[Kept], Counter[str]]:
    """Of each prompt the shortest that differ, those with a thought first, and how many were dropped."""
    by_prompt: dict[str, list[Kept]] = {}
    for row in good:
        by_prompt.setdefault(row.prompt.prompt_id, []).append(row)
    chosen = [row for rows in by_prompt.values() for row in _shortest(rows, per_prompt)]
    return chosen, Counter({"over the cap, or the same as another": len(good) - len(chosen)})


def fault_of(prompt: Prompt, member: ScoredRollout, keep: Keep) -> str | None:
    """Why a completion is not kept, or None. Whether it is right is left open where there is no rule."""
    if member.outcome != "graded":
        return "could not be graded"
    if member.rollout.finish_reason == "length":
        return "cut at the limit"
    if prompt.verifier != NO_RULE and member.scores["accuracy"] != 1.0:
        return "wrong"
    reply = TEMPLATES[prompt.template].split(member.rollout.text)
    may_be_bare = keep.allow_bare and prompt.verifier == NO_RULE
    if not reply.is_well_formed and not (reply.is_bare and may_be_bare):
        return "not well formed"
    if any(tag in (reply.answer or "") for tag in TAGS):
        return "a tag in the answer"
    if reply.is_bare and _is_mixed(prompt, member, reply.answer or "", keep):
        return "bare answer in mixed languages"
    return next((name for name, is_bad in _FAULTS.items() if is_bad(prompt, member, reply.thought, keep)), None)


def _is_mixed(prompt: Prompt, member: ScoredRollout, thought: str, keep: Keep) -> bool:
    if keep.min_language == 0:
        return False
    return language_consistency(thought, prompt.language, question_words(prompt.question)) < keep.min_language


def _is_dense(prompt: Prompt, member: ScoredRollout, thought: str, keep: Keep) -> bool:
    return max(map(len, _PARAGRAPH_END.split(thought))) > keep.max_paragraph_characters


def _has_code(prompt: Prompt, member: ScoredRollout, thought: str, keep: Keep) -> bool:
    return not keep.allow_code and _FENCE.search(thought) is not None


def _repeats(prompt: Prompt, member: ScoredRollout, thought: str, keep: Keep) -> bool:
    return -repetition_penalty(member.rollout.text, NGRAM_WORDS, -1.0) > keep.max_repetition


_FAULTS: dict[str, Callable[[Prompt, ScoredRollout, str, Keep], bool]] = {
    "thought in mixed languages": _is_mixed,
    "long paragraphs": _is_dense,
    "code in the thought": _has_code,
    "repeats itself": _repeats,
}


def _length(row: Kept) -> tuple[bool, int, int]:
    return not row.thought, len(row.member.rollout.token_ids), row.position


def _shortest(good: Sequence[Kept], count: int) -> list[Kept]:
    different = {(row.thought, row.answer): row for row in reversed(good)}
    return sorted(different.values(), key=_length)[:count]
