"""What a verifier is: the rule by which the answers of a kind of question are judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verifier:
    """Functions of text. They run in worker processes, so they may be slow, hang or die, but hold no state."""

    check_gold: Callable[[str], str | None]
    """Why this gold cannot be compared with, or None if it can. A row with such a gold is left out and listed."""
    grade: Callable[[str, str], float]
    """Share of full marks, 0 to 1, of the answer (first: text a model wrote, trusted in nothing) by the gold (second).

    An answer that cannot be read scores 0. An exception means that the grader failed, not that the answer is wrong.
    """
    wrong_answer: Callable[[str], str]
    """An answer of the right form that is not the gold: what the doctor expects to score 0."""
    deadline_seconds: float = 5.0
    """A worker that has not graded one answer by then is killed, and the rollout set aside as a timeout."""
    grade_many: Callable[[Sequence[tuple[str, str]]], list[float]] | None = None
    """``grade`` for several (answer, gold) at once, where that is much cheaper; all share one deadline."""
    machine_problem: Callable[[], str | None] | None = None
    """Why nothing can be graded on this machine and what to do about it, or None if it can."""
    load: Callable[[], None] | None = None
    """Loads the libraries that grading needs, so that no answer's deadline pays for it."""
