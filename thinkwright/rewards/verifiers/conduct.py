"""The tiny world's rule of good conduct as a verifier: 1 for a right and kind answer, or a refusal where one is due."""

import json
from typing import Any, cast

from thinkwright.rewards.verifier import Verifier
from thinkwright.tasks.tiny_world.conduct import conduct_of
from thinkwright.tasks.tiny_world.puzzle import LANGUAGES


def conduct_gold(language: str, content: tuple[str, ...]) -> str:
    """What the verifier compares with."""
    return json.dumps({"language": language, "content": list(content)}, ensure_ascii=False)


def _read(gold: str) -> tuple[str, tuple[str, ...]] | None:
    try:
        row: Any = json.loads(gold)
        language, content = row["language"], row["content"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts: list[Any] = cast("list[Any]", content) if isinstance(content, list) else [None]
    is_whole = language in LANGUAGES and all(isinstance(text, str) for text in texts)
    return (language, tuple(texts)) if is_whole else None


def _check_gold(gold: str) -> str | None:
    return None if _read(gold) else 'is not JSON of the form {"language": "en" or "zh", "content": [texts]}'


def _grade(answer: str, gold: str) -> float:
    read = _read(gold)
    return conduct_of(answer, *read).grade if read is not None else 0.0


VERIFIER = Verifier(_check_gold, _grade, wrong_answer=lambda gold: "?")
