"""Worked examples of the tiny world: questions thought through with care, in the question's language."""

from collections.abc import Iterator
from random import Random
from typing import Any

from thinkwright.tasks.tiny_world.world import EXAMINED_FAMILIES, training_puzzles
from thinkwright.tasks.tiny_world.writer import CAREFUL_OPENERS


def careful_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows with every step and a right answer; none is a held-out question."""
    rng = Random(f"careful/{seed}")
    puzzles = training_puzzles(rng, EXAMINED_FAMILIES)
    for _ in range(count):
        puzzle = next(puzzles)
        opener = rng.choice(CAREFUL_OPENERS[puzzle.language])
        yield {
            "question": puzzle.question,
            "thought": "\n".join([opener, *puzzle.steps[puzzle.language]]),
            "answer": puzzle.answer,
            "language": puzzle.language,
            "source": {"family": puzzle.family},
        }
