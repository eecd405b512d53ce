"""The tiny world's editor: brings a right but raw thought into the form that people like to read.

DeepSeek-R1 (arXiv:2501.12948, section 2.3.1) had people and a language model do this to R1-Zero's outputs: first
person, one language, short lines, and a summary that states the answer. Here rules do it; no step is added or changed.
"""

from thinkwright.tasks.tiny_world.writer import CAREFUL_OPENERS, GUESS_OPENERS, SKIP_OPENERS

_OPENERS = {"en": "Let me think.", "zh": "我想想。"}
_SUMMARIES = {"en": "The answer is \\boxed{{{}}}.", "zh": "答案是\\boxed{{{}}}。"}
_RAW_OPENERS = frozenset(
    opener
    for openers in (CAREFUL_OPENERS, GUESS_OPENERS, SKIP_OPENERS)
    for by_language in openers.values()
    for opener in by_language
)


def rewrite(thought: str, language: str) -> str | None:
    """The thought in first person, a step a line; None if it has no step: a bare guess is nothing to learn from."""
    steps = [line.strip() for line in thought.splitlines()]
    steps = [line for line in steps if line and line not in _RAW_OPENERS]
    return "\n".join([_OPENERS[language], *steps]) if steps else None


def summary(answer: str, language: str) -> str:
    """One sentence with the answer in a box."""
    return _SUMMARIES[language].format(answer)
