"""Answers that are data: JSON values and Python literals, compared by what they are and not by how they are written."""

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any, cast

from thinkwright.rewards.extraction import find_anchored, find_last_box
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.gold import read_gold_object

MAX_REPLY_CHARACTERS = 200_000
MAX_VALUE_CHARACTERS = 20_000
_FENCE = re.compile("```")
_FENCE_LINE = re.compile("^```", re.MULTILINE)
_FENCE_LANGUAGE = re.compile(r"(?:json|python|py|text|plaintext)?[ \t]*\n?", re.IGNORECASE)
_LATEX_TEXT = re.compile(r"\\(?:text|texttt|textbf|mathrm)\{(.*)\}", re.DOTALL)
_ABSENT = object()


def is_same_data(left: object, right: object) -> bool:
    """Equal in value: lists and tuples in order and of the same kind, dicts and sets in any order, numbers by value.

    True is not 1 here, and no text is a number.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float | complex) and isinstance(right, int | float | complex):
        return left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return _is_same_dict(cast("dict[Any, Any]", left), cast("dict[Any, Any]", right))
    if isinstance(left, list | tuple):
        pairs = zip(cast("list[Any]", left), cast("list[Any]", right), strict=False)
        is_as_long = len(cast("list[Any]", left)) == len(cast("list[Any]", right))
        return is_as_long and all(is_same_data(a, b) for a, b in pairs)
    if isinstance(left, set):
        members = {member: member for member in cast("set[Any]", right)}
        is_as_large = len(cast("set[Any]", left)) == len(members)
        return is_as_large and all(is_same_data(a, members.get(a, _ABSENT)) for a in cast("set[Any]", left))
    return left == right


def _is_same_dict(left: dict[Any, Any], right: dict[Any, Any]) -> bool:
    keys = {key: key for key in right}
    return len(left) == len(right) and all(
        is_same_data(key, keys.get(key, _ABSENT)) and is_same_data(value, right[key]) for key, value in left.items()
    )


def read_value(text: str, kind: str) -> tuple[Any] | None:
    """The value that ``text`` is, in a tuple of one; None if it is not one JSON value (or one Python literal)."""
    text = text.strip()
    if not text or len(text) > MAX_VALUE_CHARACTERS:
        return None
    try:
        if kind == "json":
            return (json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_repeats),)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (ast.literal_eval(text),)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def find_value(reply: str, kind: str) -> tuple[Any] | None:
    """The value a reply gives: all of it, or its last fenced block, or what it ends on; the first that can be read."""
    if len(reply) > MAX_REPLY_CHARACTERS:
        return None
    final = find_last_box(reply) or find_anchored(reply) or ""
    blocks = [_last_block(reply, fence) or "" for fence in (_FENCE, _FENCE_LINE)]
    readings = (reply, *blocks, _bare(reply), *_plain_readings(final))
    return next((value for text in readings if (value := read_value(text, kind)) is not None), None)


def _plain_readings(final: str) -> Iterator[str]:
    """What stands in a box or after "the answer is", which may be LaTeX: braces may have a backslash before them."""
    text = _bare(final)
    macro = _LATEX_TEXT.fullmatch(text)
    for reading in (final, text, _bare(macro[1]) if macro else text):
        yield reading
        yield reading.removesuffix(".")
        yield reading.replace("\\{", "{").replace("\\}", "}")


def _bare(text: str) -> str:
    """Without the marks of code, emphasis and mathematics around it."""
    return text.strip().strip("`$*").strip()


def _last_block(reply: str, fence: re.Pattern[str]) -> str | None:
    """What stands between the last two fences, without the language's name; None if fences do not come in pairs.

    A value may hold the mark of a fence itself; fences that begin a line are then the true ones.
    """
    parts = fence.split(reply)
    if len(parts) < 3 or len(parts) % 2 == 0:
        return None
    block = parts[-2]
    language = _FENCE_LANGUAGE.match(block)
    return block[language.end() :] if language else block


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _read_gold(gold: str) -> tuple[str, tuple[Any]] | None:
    found = read_gold_object(gold) or {}
    kind, value = found.get("kind"), found.get("value")
    if kind == "json" and "value" in found:
        return kind, (value,)
    if kind == "python" and isinstance(value, str) and (literal := read_value(value, kind)) is not None:
        return kind, literal
    return None


def _check_gold(gold: str) -> str | None:
    if _read_gold(gold):
        return None
    return 'is not JSON of the form {"kind": "python", "value": "a literal"} or {"kind": "json", "value": any}'


def _grade(answer: str, gold: str) -> float:
    expected = _read_gold(gold)
    if expected is None:
        return 0.0
    kind, [value] = expected
    found = find_value(answer, kind)
    try:
        return float(found is not None and is_same_data(found[0], value))
    except RecursionError:
        return 0.0


def _wrong_answer(gold: str) -> str:
    """The right value as the only member of a list."""
    kind, [value] = _read_gold(gold) or ("json", (None,))
    return json.dumps([value]) if kind == "json" else repr([value])


VERIFIER = Verifier(_check_gold, _grade, _wrong_answer)
