"""Votes for tests, and a process that keeps them until it is killed."""

import asyncio
import os
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from thinkwright.serving.votes import Vote, VoteStore


def vote_body(number: int = 0, **others: Any) -> dict[str, Any]:
    """What the page sends."""
    replies = [
        {"model": name, "thought": "I add.", "answer": f"{'well ' * (number % 3)}{word}", "finish_reason": "stop",
         "settings": {"temperature": 0.6, "seed": None}}
        for name, word in (("old", "no"), ("new", "yes"))
    ]  # fmt: skip
    body = {"id": str(uuid5(NAMESPACE_OID, str(number))), "question": f"Is {number} + {number} even?"}
    return body | {"messages": [], "replies": replies, "choice": "second", "is_blind": True, "note": ""} | others


def vote(number: int = 0, **others: Any) -> Vote:
    """The same, read."""
    return Vote.model_validate(vote_body(number, **others), strict=False)


def keep_votes(path: Path, start: int, told: int) -> None:
    """A process: votes from ``start`` on, the number of each told to a pipe once it is acknowledged."""

    async def work() -> None:
        store = VoteStore(path)
        for number in range(start, start + 10**6):
            await store.add(vote(number))
            os.write(told, f"{number}\n".encode())

    asyncio.run(work())
