"""The game of 24: make 24 from four numbers, ordered by how many people solved it; a tenth held out."""

from thinkwright.rewards.verifiers.countdown import solve
from thinkwright.tasks.example import Example, NamedSet, Row, Source, UnusableRow, split_by_digest
from thinkwright.tasks.sets.countdown import countdown_example

TARGET = 24
_SHARES_OF_LEVELS = (0.95, 0.9, 0.8)


def _example(row: Row) -> Example:
    puzzle = row["Puzzles"]
    numbers = [int(number) for number in (puzzle.split() if isinstance(puzzle, str) else puzzle)]
    reference = solve(numbers, TARGET)
    if reference is None:
        raise UnusableRow("no solution")
    share = row["Solved rate"]
    solved = float(share.removesuffix("%")) / 100 if isinstance(share, str) else float(share)
    level = 1 + sum(solved < limit for limit in _SHARES_OF_LEVELS)
    return countdown_example(numbers, TARGET, "game24", reference, level)


_TRAINING, _HELD_OUT = split_by_digest(
    Source("game24/24.jsonl", "nlile/24-game:train", {"Puzzles": "numbers", "Solved rate": "solved_rate"}), "Puzzles"
)
SET = NamedSet(
    _example,
    training=_TRAINING,
    held_out=_HELD_OUT,
    is_made=True,
    level_means="1 over 95 %, 2 over 90 %, 3 over 80 % of people solved it, 4 fewer",
)
