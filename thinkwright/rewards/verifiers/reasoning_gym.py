"""Puzzles of Reasoning Gym (arXiv:2505.24760), judged by the scorers that come with them.

Gold: ``{"dataset": name, "entry": entry}``, the entry as the library made it, in JSON; ``settings`` if it was made with
any but the usual ones. Many scorers pay a little for a wrong answer; here only full marks count, unless the gold says
``"credit": "share"``. Which data sets there are, and which rules of ours stand before their scorers, is in
``reasoning_gym_families``.
"""

import contextlib
import io
import json
import math
import re
import warnings
from collections.abc import Generator
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

from thinkwright.errors import DataError
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.gold import read_gold_object
from thinkwright.rewards.verifiers.reasoning_gym_families import EXACT, REFUSED, SHAPES, SUPPORTED

MAX_ANSWER_CHARACTERS = 20_000
MAX_FORMULA_CHARACTERS = 1000
_FULL_MARKS = 1 - 1e-9
_GOLD_FORM = 'is not JSON of the form {"dataset": name, "entry": {"question": .., "answer": .., "metadata": ..}}'


def entries(name: str, seed: int, size: int, settings: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The first ``size`` entries of a data set, as they are after a journey through JSON.

    Raises DataError for a data set that cannot be trained on, or a setting that it does not have.
    """
    _check_name(name)
    dataset = _make(name, {**(settings or {}), "seed": seed, "size": size})
    with _quiet():
        return [json.loads(json.dumps(dataset[i], default=str)) for i in range(size)]


def check_gold(gold: str) -> str | None:
    """Why the gold is no entry to grade by, or None: its own answer must earn full marks."""
    found = _read(gold)
    if found is None:
        return _GOLD_FORM
    try:
        _check_name(found["dataset"])
        is_graded = _score(found["entry"]["answer"], found) == 1.0
    except DataError as error:
        return str(error)
    return None if is_graded else "is an entry whose own answer does not earn full marks"


def grade(answer: str, gold: str) -> float:
    """1 for an answer with full marks, else 0; the scorer's own share with ``"credit": "share"``."""
    found = _read(gold)
    if found is None:
        raise DataError(f"the gold {_GOLD_FORM}")
    _check_name(found["dataset"])
    score = _score(answer, found)
    return score if found.get("credit") == "share" else float(score == 1.0)


def wrong_answer(gold: str) -> str:
    """The gold answer with something changed, so that it earns less than full marks."""
    found = _read(gold)
    right = str(found["entry"]["answer"]) if found else ""
    changed = re.sub(r"[0-9]", lambda match: str((int(match.group()) + 3) % 10), right, count=1)
    for attempt in (changed, right[::-1], right[: len(right) // 2], "0", "nothing"):
        if attempt != right and grade(attempt, gold) == 0.0:
            return attempt
    return ""


def _score(answer: str, found: dict[str, Any]) -> float:
    """0 to 1, and exactly 1 for full marks."""
    name, entry = found["dataset"], found["entry"]
    answer = answer.strip()
    if not answer or len(answer) > MAX_ANSWER_CHARACTERS:
        return 0.0
    if name in EXACT:
        return float(_plain(answer) in {_plain(text) for text in _accepted(entry)})
    shape = SHAPES.get(name)
    if shape is not None and (len(answer) > MAX_FORMULA_CHARACTERS or shape.fullmatch(answer) is None):
        return 0.0
    dataset = _cached(name, json.dumps(found.get("settings") or {}, sort_keys=True))
    try:
        with _quiet():
            score = float(dataset.score_answer(answer, entry))
    except Exception:
        # The gold was graded without an error, so the scorer tripped over the answer.
        return 0.0
    if not math.isfinite(score):
        return 0.0
    return 1.0 if score >= _FULL_MARKS else max(0.0, score)


def _accepted(entry: dict[str, Any]) -> list[str]:
    return cast("list[str]", entry["metadata"].get("valid_answers") or [entry["answer"]])


def _plain(text: str) -> str:
    lines = text.strip().casefold().replace(",", " , ").splitlines()
    return "\n".join(" ".join(line.split()) for line in lines)


def _read(gold: str) -> dict[str, Any] | None:
    found = read_gold_object(gold)
    if found is None or not isinstance(found.get("dataset"), str) or not isinstance(found.get("entry"), dict):
        return None
    entry = cast("dict[str, Any]", found["entry"])
    is_whole = isinstance(entry.get("answer"), str) and isinstance(entry.get("metadata"), dict)
    is_known = found.get("credit", "full") in ("full", "share") and isinstance(found.get("settings", {}), dict)
    return found if is_whole and is_known else None


def _check_name(name: str) -> None:
    if name in SUPPORTED:
        return
    reason = REFUSED.get(name, "it is not among the data sets whose scorers were tried")
    raise DataError(f"Reasoning Gym's {name!r} cannot be used: {reason}; use one of {', '.join(sorted(SUPPORTED))}")


@lru_cache(maxsize=128)
def _cached(name: str, settings: str) -> Any:
    return _make(name, json.loads(settings))


def _make(name: str, settings: dict[str, Any]) -> Any:
    factory = _factory()
    try:
        with _quiet():
            return factory.create_dataset(name, **settings)
    except (TypeError, ValueError, AssertionError) as error:
        raise DataError(f"Reasoning Gym's {name!r} does not take the settings {settings}: {error}") from error


def _factory() -> Any:
    """The library, which takes seconds to load."""
    try:
        return import_module("reasoning_gym.factory")
    except ImportError as error:
        raise DataError("Reasoning Gym is not installed: pip install 'thinkwright[puzzles]'") from error


def _load() -> None:
    _factory()


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Scorers print and warn about what is in answers."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


VERIFIER = Verifier(check_gold, grade, wrong_answer, load=_load)
