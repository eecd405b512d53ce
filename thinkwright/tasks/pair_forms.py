"""Rows of preferences as others write them, turned into ours (``preferences.py``).

What is read: our own form; ``prompt``, ``chosen`` and ``rejected`` as texts, as lists of messages (TRL) or as
transcripts (Anthropic's HH-RLHF); ``instruction`` and ``input`` with two responses and a label or annotators (PandaLM,
LLMBar); ``prompt``, ``completion`` and a label (TRL's unpaired form). Of a conversation of several turns the question
is all that stands before the last answer, in the marks that the templates put around a single question.
"""

import re
from collections.abc import Sequence
from typing import Any, cast

from thinkwright.characters import HALF_CHARACTER
from thinkwright.chat.template import TAGS, TEMPLATES
from thinkwright.errors import DataError
from thinkwright.tasks.example import Row
from thinkwright.tasks.pair import pair_in

Turn = tuple[str, str]
"""Role (``user``, ``assistant`` or ``system``) and text."""
_ASKED = ("prompt", "question", "instruction", "input")
_TWO = (("response1", "response2"), ("response_1", "response_2"), ("output_1", "output_2"))
_ONE = ("completion", "response")
_KEPT = ("first", "votes", "language")
_ANNOTATOR = re.compile(r"annotator_?\d+")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
FORMS = (
    "question, chosen and rejected; prompt, chosen and rejected; instruction, response1, response2 and label (1, 2, or "
    "0 for a tie); or prompt, completion and label (true or false)"
)


class LeftOut(ValueError):
    """A row that is whole but holds no preference to learn from; says why."""


def pair_of(row: Row, place: str) -> Row:
    """Our row of another, which ``pair_in`` reads.

    Raises LeftOut for one to count and pass over, DataError for one of no known form.
    """
    two = next((keys for keys in _TWO if all(key in row for key in keys)), None)
    one = next((key for key in _ONE if key in row), None)
    if two is not None:
        found = _two_responses(row, two, place)
    elif "chosen" in row or "rejected" in row:
        found = _chosen_and_rejected(row)
    elif one is not None and isinstance(row.get("label"), bool):
        side = "chosen" if row["label"] else "rejected"
        found = {"question": _question(_asked(row)), **_response(row[one], side)}
    else:
        names = ", ".join(map(repr, row)) or "nothing"
        raise DataError(f"{place}: no known form of preferences, only {names}; write {FORMS}")
    if "chosen" in found and "rejected" in found and _side(found, "chosen") == _side(found, "rejected"):
        raise LeftOut("the same on both sides")
    found |= {key: row[key] for key in _KEPT if row.get(key) is not None and key not in found}
    try:
        pair_in(found, "")
    except DataError as error:
        raise LeftOut(str(error).removeprefix(": ").partition(";")[0]) from error
    return found


def _two_responses(row: Row, keys: tuple[str, str], place: str) -> Row:
    """The better of two by the annotators' majority, or by the label; ``first`` is the one listed first."""
    votes = [_vote(row[key], key, place) for key in row if _ANNOTATOR.fullmatch(key)]
    if not votes and "label" not in row:
        raise DataError(f"{place}: no label that says which response is better; write 1, 2, or 0 for a tie")
    verdict = sum(votes) if votes else _vote(row["label"], "label", place)
    if verdict == 0:
        raise LeftOut("a tie")
    first, second = ("chosen", "rejected") if verdict > 0 else ("rejected", "chosen")
    found = {"question": _question(_asked(row)), **_response(row[keys[0]], first), **_response(row[keys[1]], second)}
    sign = 1 if verdict > 0 else -1
    return found | {"first": first} | ({"votes": [sign * vote for vote in votes]} if votes else {})


def _vote(value: Any, key: str, place: str) -> int:
    """1 for the first response, -1 for the second, 0 for a tie."""
    if isinstance(value, bool) or value not in (0, 1, 2):
        raise DataError(f"{place}: {key} is {value!r}; write 1 or 2 for the better response, 0 for a tie")
    return (0, 1, -1)[int(value)]


def _chosen_and_rejected(row: Row) -> Row:
    sides: dict[str, Any] = {side: row[side] for side in ("chosen", "rejected") if row.get(side) is not None}
    if not sides:
        raise LeftOut("no response")
    told = {side: _turns(value) for side, value in sides.items()}
    if any(turns is None for turns in told.values()):
        asked = _asked(row)
        answers: dict[str, Any] = sides
    else:
        before = {side: turns[:-1] for side, turns in told.items() if turns}
        if any(not turns or turns[-1][0] != "assistant" for turns in told.values() if turns is not None):
            raise LeftOut("no answer at the end of the conversation")
        asked, *others = before.values()
        if any(other != asked for other in others):
            raise LeftOut("the sides answer different questions")
        asked = asked or _asked(row)
        answers = {side: turns[-1][1] for side, turns in told.items() if turns}
    found: Row = {"question": _question(asked)}
    for side, answer in answers.items():
        thought = row.get(f"{side}_thought")
        found |= _response(answer, side)
        found |= {f"{side}_thought": _text(thought)} if thought is not None else {}
    return found


def _asked(row: Row) -> list[Turn]:
    """What the row asks: a conversation, or a text, with the ``input`` after its ``instruction``."""
    key = next((key for key in _ASKED if row.get(key) is not None), None)
    if key is None:
        raise LeftOut("no question")
    if key == "instruction" and _text(row.get("input") or " ", may_be_blank=True):
        return [("user", f"{_text(row[key])}\n\n{_text(row['input'])}")]
    return _turns(row[key]) or [("user", row[key])]


def _question(turns: list[Turn]) -> str:
    """The question as templates put it between ``User:`` and ``Assistant:``."""
    if turns[-1] == ("assistant", ""):  # a transcript that ends where the answer is to begin
        turns = turns[:-1]
    system = [_text(text) for role, text in turns if role == "system"]
    talk = [(role, _text(text)) for role, text in turns if role != "system"]
    if [role for role, _ in talk] != ["user", "assistant"] * (len(talk) // 2) + ["user"]:
        raise LeftOut("turns that do not alternate")
    marks = {"user": " User: ", "assistant": " Assistant: "}
    said = talk[0][1] + "".join(f"{marks[role]}{text}" for role, text in talk[1:])
    return "\n\n".join((*system, said))


def _turns(value: Any) -> list[Turn] | None:
    """The turns of a list of messages or a transcript; None of a text that is neither."""
    if isinstance(value, str):
        head, *parts = _SPEAKER.split(value if value.startswith("\n\n") else f"\n\n{value}")
        if not parts or head.strip():
            return None
        return [(_ROLES[who], text.strip()) for who, text in zip(parts[0::2], parts[1::2], strict=True)]
    if not isinstance(value, list):
        return None
    return [_message(message) for message in cast("list[Any]", value)]


def _message(message: Any) -> Turn:
    if not isinstance(message, dict) or "role" not in message or "content" not in message:
        raise LeftOut("messages without role and content")
    role = cast("Row", message)["role"]
    if role not in ("user", "assistant", "system"):
        raise LeftOut("roles other than user, assistant and system")
    return role, cast("Row", message)["content"]


def _response(value: Any, side: str) -> Row:
    """Answer and thought of a side; a thought in tags before the answer is told apart."""
    text = _text(value)
    if not any(tag in text for tag in TAGS):
        return {side: text}
    reply = TEMPLATES["think_summary"].split(text)
    if not reply.is_well_formed or reply.answer is None or any(tag in reply.thought + reply.answer for tag in TAGS):
        raise LeftOut("tags inside")
    return {side: reply.answer, f"{side}_thought": reply.thought}


def _side(found: Row, side: str) -> Sequence[str | None]:
    return found[side], found.get(f"{side}_thought")


def _text(value: Any, *, may_be_blank: bool = False) -> str:
    if not isinstance(value, str):
        raise LeftOut("not text")
    if HALF_CHARACTER.search(value):
        raise LeftOut("half characters (surrogates)")
    if not value.strip() and not may_be_blank:
        raise LeftOut("empty")
    return value.strip()
