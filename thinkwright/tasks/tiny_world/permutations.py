"""Chains of state: cards moved again and again. Each move is easy, the bare answer near chance for any net."""

import itertools
from random import Random

from thinkwright.tasks.tiny_world.puzzle import Puzzle

LEVELS = (1, 2, 3, 4)
_MOVES = {
    "swap": {"en": "swap", "zh": "换"},
    "roll": {"en": "roll", "zh": "移"},
    "flip": {"en": "flip", "zh": "倒"},
}


def make(rng: Random, level: int, language: str) -> Puzzle:
    """Level n: 2n-1 or 2n moves of three cards."""
    cards = rng.sample("ABC", 3)
    moves = [rng.choice(tuple(_MOVES)) for _ in range(rng.randint(2 * level - 1, 2 * level))]
    states = [cards]
    for move in moves:
        states.append(_apply(move, states[-1]))
    start, answer = " ".join(cards), " ".join(states[-1])
    named = [_MOVES[move][language] for move in moves]
    if language == "en":
        question = f"Cards {start}: {', '.join(named)}. Order now?"
    else:
        question = f"牌{start}：{'，'.join(named)}。现在？"
    steps = {
        lang: tuple(f"{_MOVES[move][lang]} {' '.join(state)}" for move, state in zip(moves, states[1:], strict=True))
        for lang in ("en", "zh")
    }
    return Puzzle(
        family="permutations",
        level=level,
        language=language,
        question=question,
        answer=answer,
        verifier="words",
        gold=answer,
        steps=steps,
        wrong=tuple(order for order in map(" ".join, itertools.permutations("ABC")) if order != answer),
    )


def _apply(move: str, cards: list[str]) -> list[str]:
    first, second, third = cards
    if move == "swap":
        return [second, first, third]
    if move == "roll":
        return [second, third, first]
    return [third, second, first]
