"""What people preferred: pairs of responses to a question, or single ones called good or bad.

A row is ``question``, ``chosen`` and ``rejected`` (what the asker sees, without tags; one may be null where single
responses will do), and may have ``chosen_thought`` and ``rejected_thought``, ``first`` (which of the two was shown
first), ``votes`` (a number for each judge: over 0 for the chosen one, under 0 against it), ``language``, ``source``.
"""

from collections.abc import Iterator, Sequence

from thinkwright.errors import DataError
from thinkwright.tasks.example import Row
from thinkwright.tasks.known_pairs import KNOWN_PAIRS, known_pairs
from thinkwright.tasks.pair import SIDES, PreferencePair, Response, Side, pair_in
from thinkwright.tasks.read import KNOWN_PREFIX, place_of, read_rows

__all__ = ["SIDES", "PreferencePair", "Response", "Side", "every_pair", "pair_rows", "read_pairs"]


def read_pairs(paths: Sequence[str], *, both_sides: bool) -> list[PreferencePair]:
    """All pairs of the files. Raises DataError for a broken row, no rows, or only one side in all of them.

    ``both_sides``: every row must have both.
    """
    pairs, files = every_pair(paths), ", ".join(paths)
    for side in SIDES:
        if not any(pair.side(side) for pair in pairs):
            raise DataError(
                f"{files}: one-sided: no row has a {side} response, so there is nothing to tell apart; add some"
            )
    if both_sides and (half := next((pair for pair in pairs if not (pair.chosen and pair.rejected)), None)):
        raise DataError(
            f"{half.place}: has one side only; give chosen and rejected, or learn from single responses "
            "(loss = pointwise)"
        )
    return pairs


def every_pair(paths: Sequence[str]) -> list[PreferencePair]:
    """All pairs of the files, be they one-sided. Raises DataError for a broken row, or no rows."""
    pairs = [pair_in(row, place_of(path, number)) for path in paths for number, row in pair_rows(path)]
    if not pairs:
        raise DataError(f"{', '.join(paths)}: holds no pair; give rows with question, chosen and rejected")
    return pairs


def pair_rows(address: str) -> Iterator[tuple[int, Row]]:
    """Rows with their numbers, not looked at yet; ``known:NAME`` are those of ``known_pairs.py``. Raises DataError."""
    if not address.startswith(KNOWN_PREFIX):
        return read_rows(address, "data")
    name = address.removeprefix(KNOWN_PREFIX)
    if name in KNOWN_PAIRS and KNOWN_PAIRS[name].is_for_testing:
        raise DataError(
            f"{address}: a set to test reward models with, not to learn from; take it out of data (to look at it: "
            f"thinkwright preferences import {name})"
        )
    return known_pairs(name, "data")
