"""The tiny world's question families, and the line between held-out questions and everything else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from thinkwright.tasks.decontamination import NgramIndex
from thinkwright.tasks.tiny_world import arithmetic, countdown, people, permutations, programs, talk, word_problems
from thinkwright.tasks.tiny_world.puzzle import LANGUAGES, Puzzle


@dataclass(frozen=True)
class Family:
    """How to make questions of one kind, and at which levels."""

    make: Callable[[Random, int, str], Puzzle]
    levels: tuple[int, ...]
    share: float = 1.0
    """How often it is met, relative to the others."""


FAMILIES = {
    "arithmetic": Family(arithmetic.make, arithmetic.LEVELS),
    "word_problems": Family(word_problems.make, word_problems.LEVELS),
    "countdown": Family(countdown.make, countdown.LEVELS),
    "permutations": Family(permutations.make, permutations.LEVELS),
    "ordering": Family(people.make_ordering, people.ORDERING_LEVELS),
    "truth_tellers": Family(people.make_truth_tellers, people.TRUTH_LEVELS),
    "programs": Family(programs.make, programs.LEVELS),
    "facts": Family(talk.make_fact, talk.LEVELS, share=0.5),
    "small_talk": Family(talk.make_small_talk, talk.LEVELS, share=0.25),
}
# Small talk has no held-out questions: a greeting never seen has no answer to work out.
EXAMINED_FAMILIES = tuple(name for name in FAMILIES if name != "small_talk")
HELD_OUT_SEED = 20260101
HELD_OUT_PER_FAMILY = 32


def random_puzzle(rng: Random, families: tuple[str, ...]) -> Puzzle:
    """A question: families by their share, levels and languages uniformly."""
    family = FAMILIES[rng.choices(families, [FAMILIES[name].share for name in families])[0]]
    return family.make(rng, rng.choice(family.levels), rng.choice(LANGUAGES))


def held_out_puzzles() -> list[Puzzle]:
    """The questions kept for evaluation: the same 256 always, levels and languages in turn within each family."""
    puzzles = []
    for name in EXAMINED_FAMILIES:
        rng, family, seen = Random(f"{HELD_OUT_SEED}/{name}"), FAMILIES[name], set()
        while len(seen) < HELD_OUT_PER_FAMILY:
            i = len(seen)
            puzzle = family.make(rng, family.levels[i // 2 % len(family.levels)], LANGUAGES[i % 2])
            if puzzle.question not in seen:
                seen.add(puzzle.question)
                puzzles.append(puzzle)
    return puzzles


def training_puzzles(rng: Random, families: tuple[str, ...]) -> Iterator[Puzzle]:
    """An endless stream of questions, none equal to a held-out one nor sharing a 10-gram with one."""
    held_out = _held_out_index()
    while True:
        puzzle = random_puzzle(rng, families)
        if not held_out.overlaps(puzzle.question):
            yield puzzle


@cache
def _held_out_index() -> NgramIndex:
    return NgramIndex(puzzle.question for puzzle in held_out_puzzles())
