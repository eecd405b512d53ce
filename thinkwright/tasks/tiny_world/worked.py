"""Worked examples of the tiny world: right answers with a thought in the question's language."""

from collections.abc import Iterator
from random import Random
from typing import Any

from thinkwright.tasks.tiny_world.rewriter import rewrite, summary
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


def fact_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Facts recalled and stated; none is a held-out question. Facts belong to R1's data without reasoning."""
    puzzles = training_puzzles(Random(f"facts/{seed}"), ("facts",))
    for _ in range(count):
        puzzle = next(puzzles)
        yield {
            "question": puzzle.question,
            "thought": rewrite("\n".join(puzzle.steps[puzzle.language]), puzzle.language),
            "answer": summary(puzzle.answer, puzzle.language),
            "language": puzzle.language,
            "source": {"family": puzzle.family},
        }
