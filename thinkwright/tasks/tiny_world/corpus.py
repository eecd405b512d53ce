"""The tiny world's web: an endless stream of questions with the replies people gave."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from thinkwright.chat.template import conversation_turn
from thinkwright.config.recipe import StyleShares
from thinkwright.tasks.tiny_world.world import FAMILIES, training_puzzles
from thinkwright.tasks.tiny_world.writer import reply


@dataclass(frozen=True)
class Document:
    """One exchange. The preamble that may stand before it is the same for all, so it is not repeated here."""

    turn: str
    """``User: question Assistant:``"""
    reply: str


def documents(seed: int, shares: StyleShares) -> Iterator[Document]:
    """All families by their shares, all levels, both languages; held-out questions never occur."""
    rng = Random(f"corpus/{seed}")
    for puzzle in training_puzzles(rng, tuple(FAMILIES)):
        yield Document(conversation_turn(puzzle.question), reply(puzzle, rng, shares))
