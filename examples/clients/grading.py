"""Judges a reply as ``thinkwright eval`` does, for other evaluators: by the same verifiers, in the same processes.

Needs neither torch nor transformers: pydantic and psutil, and math-verify for mathematics.
"""

import atexit
from contextlib import ExitStack
from functools import cache

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.pool import Job, WorkerPool

SERVED = TEMPLATES["think_summary"]
"""What a server has told apart is read as a summary; a server that has not may leave the thought's tags in."""


def mark(reply: str, verifier: str, gold: str) -> float:
    """1 for a right answer, else 0: also for a reply that is empty, as one cut within its thought is.

    Raises RuntimeError if the grader could not say, which is never a wrong answer.
    """
    answer = SERVED.split(reply).answer
    if answer is None:
        return 0.0
    (verdict,) = _pool().grade([Job(verifier, answer, gold)])
    if verdict.score is None:
        raise RuntimeError(f"{verifier} could not grade {answer[:200]!r}: {verdict.outcome}, {verdict.detail}")
    return float(verdict.score == 1.0)


@cache
def _pool() -> WorkerPool:
    """Two processes that live as long as this one, and are killed when an answer takes too long."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(WorkerPool())
