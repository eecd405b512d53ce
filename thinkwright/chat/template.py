"""The R1-Zero template, and thought and answer told apart: the only place that knows the tags."""

import re
from dataclasses import dataclass

# DeepSeek-R1 (arXiv:2501.12948v1), table 1, word for word; plain text for a base model, no chat tokens.
R1_ZERO_PREAMBLE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., "
    "<think> reasoning process here </think> <answer> answer here </answer>."
)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

_REPLY = re.compile(r"\s*<think>(?P<thought>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A completion told apart."""

    thought: str
    answer: str | None
    """Text between the answer tags after the thought; None if there is no such thing."""
    is_well_formed: bool
    """Exactly one ordered pair of each tag, nothing outside them, and a thought that is not empty."""


def r1_zero_prompt(question: str) -> str:
    """The prompt for a base model."""
    return f"{R1_ZERO_PREAMBLE}{conversation_turn(question)}"


def conversation_turn(question: str) -> str:
    """The part of the prompt that follows the preamble."""
    return f" User: {question} Assistant:"


def split_reply(completion: str) -> Reply:
    """Tell thought and answer apart; an answer counts only after a closed thought.

    A completion that is not well formed still yields its thought (everything up to ``</think>``, or all of it), so
    that a person can read it, but an answer only if one follows the first ``</think>``.
    """
    match = _REPLY.fullmatch(completion)
    is_single = all(completion.count(tag) == 1 for tag in TAGS)
    if match and is_single and match["thought"].strip():
        return Reply(match["thought"].strip(), match["answer"].strip(), is_well_formed=True)
    head, closed, tail = completion.partition("</think>")
    answers = re.findall(r"<answer>(.*?)</answer>", tail, re.DOTALL) if closed else []
    answer = answers[0].strip() if len(answers) == 1 else None
    return Reply(head.replace("<think>", "").strip(), answer, is_well_formed=False)
