"""What people preferred: pairs of responses to a question, or single ones called good or bad.

A row is ``question``, ``chosen`` and ``rejected`` (what the asker sees, without tags; one may be null where single
responses will do), and may have ``chosen_thought`` and ``rejected_thought``, ``first`` (which of the two was shown
first), ``votes`` (a number for each judge: over 0 for the chosen one, under 0 against it), ``language``, ``source``.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from thinkwright.chat.template import TAGS
from thinkwright.errors import DataError
from thinkwright.tasks.example import Row
from thinkwright.tasks.known_pairs import KNOWN_PAIRS, known_pairs
from thinkwright.tasks.read import KNOWN_PREFIX, place_of, read_rows

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Response:
    """What was answered, with the thought before it, if there was one."""

    thought: str | None
    answer: str


@dataclass(frozen=True)
class PreferencePair:
    """One question and what was preferred; a side may be missing, not both."""

    place: str
    """File and row, for messages."""
    question: str
    chosen: Response | None
    rejected: Response | None
    first: Side | None
    votes: tuple[float, ...]
    language: str | None

    def side(self, name: Side) -> Response | None:
        """The response of a side."""
        return self.chosen if name == "chosen" else self.rejected


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
    pairs = [_pair(row, place_of(path, number)) for path in paths for number, row in pair_rows(path)]
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


def _pair(row: Row, place: str) -> PreferencePair:
    question = _text(row.get("question"), "question", place)
    if question is None:
        raise DataError(f"{place}: no question; write question, chosen and rejected in every row")
    chosen, rejected = (_response(row, side, place) for side in SIDES)
    if chosen is None and rejected is None:
        raise DataError(f"{place}: neither chosen nor rejected; write at least one response")
    if chosen == rejected:
        raise DataError(f"{place}: chosen and rejected are the same; take the row out")
    if (first := row.get("first")) not in (None, *SIDES):
        raise DataError(f"{place}: first is {first!r}; write chosen or rejected, whichever was shown first")
    return PreferencePair(
        place, question, chosen, rejected, first, _votes(row, place), _text(row.get("language"), "language", place)
    )


def _votes(row: Row, place: str) -> tuple[float, ...]:
    votes = row.get("votes")
    if votes is None:
        return ()
    is_list = isinstance(votes, list) and all(
        isinstance(vote, int | float) and not isinstance(vote, bool) and math.isfinite(vote)
        for vote in cast("list[Any]", votes)
    )
    if not is_list:
        raise DataError(f"{place}: votes is no list of numbers; write one for each judge, over 0 for the chosen one")
    return tuple(float(vote) for vote in votes)


def _response(row: Row, side: Side, place: str) -> Response | None:
    answer, thought = (_text(row.get(key), key, place) for key in (side, f"{side}_thought"))
    if answer is None and thought is not None:
        raise DataError(f"{place}: {side}_thought stands without {side}; write what was answered, too")
    return Response(thought, answer) if answer is not None else None


def _text(value: Any, key: str, place: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(f"{place}: {key} is not text; write it as text, or null")
    if not value.strip():
        raise DataError(f"{place}: {key} is empty; write one, null, or take the row out")
    if _LONE_SURROGATE.search(value):
        raise DataError(f"{place}: {key} holds half a character (a surrogate such as \\ud800); mend the row")
    if key != "question" and (tag := next((tag for tag in TAGS if tag in value), None)):
        raise DataError(f"{place}: {key} holds {tag}; give thoughts in chosen_thought and rejected_thought")
    return value
