"""Reasoning Gym (arXiv:2505.24760): puzzles made by programs, judged by the scorers that come with them.

Each family has as many training rows as ``TRAINING_ROWS`` and a few held-out ones, made from other seeds.
"""

import json
from collections.abc import Callable, Iterator

from thinkwright.rewards.verifiers.reasoning_gym import entries
from thinkwright.tasks.example import Example, NamedSet, Row, Source

TRAINING_ROWS, HELD_OUT_ROWS = 500, 20
# A row is made from the seed plus its number, so seeds lie further apart than there are rows.
_TRAINING_SEED, _HELD_OUT_SEED = 1, 1_000_000_000
PUZZLES = (
    "basic_arithmetic", "bitwise_arithmetic", "caesar_cipher", "calendar_arithmetic", "chain_sum", "count_primes",
    "family_relationships", "fraction_simplification", "gcd", "knights_knaves", "leg_counting", "letter_counting",
    "maze", "mini_sudoku", "number_sorting", "prime_factorization", "simple_equations", "spell_backward", "syllogism",
    "word_sorting",
)  # fmt: skip
"""Used if a recipe names no families; any other data set of the library can be named as ``reasoning_gym/NAME``."""
_PREFIX = "reasoning_gym/"


def _rows(part: str, seed: int, count: int) -> Callable[[tuple[str, ...]], Iterator[Row]]:
    def make(families: tuple[str, ...]) -> Iterator[Row]:
        for name in [family.removeprefix(_PREFIX) for family in families] or PUZZLES:
            for number, entry in enumerate(entries(name, seed, count), 1):
                yield {"dataset": name, "entry": entry, "id": f"{part}/{name}/{number}"}

    return make


def _example(row: Row) -> Example:
    entry = row["entry"]
    return Example(
        question=entry["question"].strip(),
        verifier="reasoning_gym",
        gold=json.dumps({"dataset": row["dataset"], "entry": entry}),
        reference=str(entry["answer"]),
        family=f"{_PREFIX}{row['dataset']}",
        source_id=row["id"],
    )


SET = NamedSet(
    _example,
    training=(Source(make=_rows("training", _TRAINING_SEED, TRAINING_ROWS)),),
    held_out=(Source(make=_rows("held_out", _HELD_OUT_SEED, HELD_OUT_ROWS)),),
    is_made=True,
)
