"""One row of preferences (``preferences.py`` says of what form) as a question with the responses to it."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from thinkwright.characters import check_characters
from thinkwright.chat.template import TAGS
from thinkwright.errors import DataError
from thinkwright.tasks.example import Row

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")
MAX_VOTE = 10**6
"""No vote weighs more."""


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


def pair_in(row: Row, place: str) -> PreferencePair:
    """The pair that a row of our form holds. Raises DataError naming ``place`` and the remedy."""
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
        isinstance(vote, int | float) and not isinstance(vote, bool) and abs(vote) <= MAX_VOTE
        for vote in cast("list[Any]", votes)
    )
    if not is_list:
        raise DataError(
            f"{place}: votes is no list of numbers; write one for each judge, over 0 for the chosen one, "
            f"none beyond {MAX_VOTE:,}"
        )
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
    check_characters(value, place, key)
    if key != "question" and (tag := next((tag for tag in TAGS if tag in value), None)):
        raise DataError(f"{place}: {key} holds {tag}; give thoughts in chosen_thought and rejected_thought")
    return value
