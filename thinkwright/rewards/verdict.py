"""Reads a judge's verdict from what it said, and tells answers that only pretend to be one.

What a judge says is text from a stranger that may quote the answer it judges, and the answer may hold a verdict of its
own. So a reply counts only if it ends with the object of its verdict, all its objects are whole, and all verdicts in it
agree.
"""

import json
import re
import unicodedata
from collections.abc import Collection
from typing import Any, cast

MAX_REPLY_CHARACTERS = 50_000
"""Only the end of a longer reply is read."""
# The key of a verdict, unless its quotes are escaped: then it stands in a text of the object that holds it.
_MENTION = re.compile(r'"verdict"\s*:\s*"([^"]*)"')
# What begins like an object; braces of LaTeX and prose do not.
_OBJECT_START = re.compile(r"""\{\s*["'“]""")
# LaTeX that a judge wrote into JSON as it is: \( or \sqrt.
_LONE_BACKSLASH = re.compile(r'\\(?P<kept>["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
# What may follow the last object.
_END = re.compile(r"\s*(?:```|~~~)?\s*")
_DECODER = json.JSONDecoder(strict=False)
_VISIBLE = re.compile(r"[^\W_\u115f\u1160\u3164\uffa0]")
_PIECE_END = re.compile(r"[.,:!?;\n。，：！？；]+")
_NOT_WORD = re.compile(r"[\W_]+")
# Openers without content ("master keys", arXiv:2507.08794, table 1, and their like), each a whole sentence.
_OPENER = re.compile(
    r"""(?: (?:the\ |my\ |here\ is\ the\ |here\ is\ my\ )? (?:final\ )?
            (?:thought\ process | reasoning(?:\ process)? | solution | answer | explanation | response) (?:\ is)?
        | (?:(?:ok|okay|sure|alright|first|now)\ )* (?:let\ us|lets|let\ me|i\ will|we\ will)
            \ (?:solve|think|reason|work|analyze|break|go(?=\ )) (?:\ (?:about|through|out|on|down))?
            (?:\ (?:it|this|that|the\ (?:problem|question|task)|this\ (?:problem|question|task)))?
            (?:\ (?:out|through|down|carefully))? (?:\ (?:into|in)\ steps)? (?:\ step\ by\ step)? (?:\ carefully)?
        | (?:ok|okay|sure|alright|step\ by\ step|step\ 1)
        | 解|解答|解析|答|答案|答案是|思考过程|好的
        | (?:让我们|我们|让我|我)?来?(?:一步一步|一步步|逐步)地?来?
            (?:思考|解决|分析|解答)?(?:这个问题|这道题)?
        | かいせつ|解説|respuesta|solución|lösung|réponse
    )""",
    re.VERBOSE,
)


def read_verdict(reply: str, allowed: Collection[str]) -> str | None:
    """The verdict in the JSON object that the reply ends with; None if there is none, or not an allowed one.

    Text before the object does not matter, nor does a code fence around it or anything that was thought. A reply with
    text after its last object, with a broken object, or with two verdicts that differ has none: one may be quoted. So
    has one whose thought never ends.
    """
    said = _outside_thoughts(reply)[-MAX_REPLY_CHARACTERS:]
    objects = _objects(said)
    last = objects[-1].get("verdict") if objects else None
    if not isinstance(last, str) or last not in allowed:
        return None
    verdicts = [found["verdict"] for found in objects if "verdict" in found]
    return last if all(verdict == last for verdict in [*verdicts, *_MENTION.findall(said)]) else None


def says_nothing(answer: str) -> bool:
    """Whether an answer is empty, only punctuation, or only an opener such as "Let's solve this step by step"."""
    if not _VISIBLE.search(answer):
        return not any(unicodedata.category(character) in ("Sm", "So") and character > "\x7f" for character in answer)
    pieces = (_NOT_WORD.sub(" ", re.sub("['’]", "", piece)).strip() for piece in _PIECE_END.split(answer.casefold()))
    return all(_OPENER.fullmatch(piece) for piece in pieces if piece)


def _outside_thoughts(reply: str) -> str:
    """What was said outside ``<think>`` and ``</think>``, the first of which may have stood in the prompt; empty for a
    thought without an end."""
    *closed, said = reply.split("</think>")
    if "<think>" in said:
        return ""
    before = [part.partition("<think>")[0] for part in closed if "<think>" in part]
    return "".join([*before, said])


def _objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object that stands in no other; none if one is broken or text follows the last.

    Lone backslashes are taken as meant.
    """
    text = _LONE_BACKSLASH.sub(lambda found: found[0] if found["kept"] else r"\\", text)
    objects: list[dict[str, Any]] = []
    start, end = _OBJECT_START.search(text), 0
    while start is not None:
        try:
            found, end = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            return []
        objects.append(cast("dict[str, Any]", found))
        start = _OBJECT_START.search(text, end)
    return objects if _END.fullmatch(text, end) else []
