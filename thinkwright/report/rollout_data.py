"""Rollouts and held-out samples of a run folder as rows for the page: thought and answer told apart, no token ids.

A text stands once, as ``pieces`` that joined give it exactly; ``thought`` and ``answer`` are places among them. Keys
whose value says nothing are left out.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from thinkwright.chat.template import TEMPLATES
from thinkwright.report.series import Row
from thinkwright.run_folder import read_rollouts

Group = Row
"""A prompt with its members: ``id family level language question gold members``, and ``spread`` without variance."""
ALL_RIGHT, ALL_WRONG, EQUAL = "all-right", "all-wrong", "equal"


@dataclass(frozen=True)
class Source:
    """A kind of completions that a run folder holds by step."""

    name: str
    title: str
    folder: str
    pattern: re.Pattern[str]
    read: Callable[[Path], list[Group]]
    """The groups of one file, texts whole. Raises one of ``BROKEN``."""

    def files(self, run_folder: Path) -> dict[int, Path]:
        """Its files by step, in the order of steps."""
        found = {
            int(match[1]): path
            for path in (run_folder / self.folder).glob("step_*")
            if (match := self.pattern.fullmatch(path.name))
        }
        return dict(sorted(found.items()))


BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, zstandard.ZstdError)
"""What reading a file may raise that was cut off, is of another form, or is gone."""


def read_step(source: Source, step: int, path: Path) -> Row:
    """The groups of a step with the highest and the lowest value among all of them; ``error`` if it cannot be read."""
    try:
        groups = source.read(path)
        if not groups:
            raise ValueError("it holds nothing")
    except BROKEN as error:
        return {"step": step, "groups": [], "of": 0, "error": f"{path.name} could not be read ({error})"}
    values = [value for group in groups for member in group["members"] if (value := value_of(member)) is not None]
    found: Row = {"step": step, "groups": groups, "of": len(groups)}
    return found | {"highest": max(values), "lowest": min(values)} if values else found


def value_of(member: Row) -> float | None:
    """What a completion is ranked by: its reward, or its score where no reward is given; None if it was not graded."""
    if "outcome" in member:
        return None
    return member["reward"] if "reward" in member else member["scores"].get("accuracy")


def cut_group(group: Group, max_chars: int) -> Group:
    """The group with every text longer than ``max_chars`` cut in the middle: ``[start, characters left out, end]``."""
    members = [
        member
        | {"pieces": [_cut(piece, max_chars) for piece in member["pieces"]]}
        | {name: _cut(member[name], max_chars) for name in ("thought", "answer", "detail") if name in member}
        for member in group["members"]
    ]
    return group | {name: _cut(group[name], max_chars) for name in ("question", "gold")} | {"members": members}


def told_apart(text: str, thought: str, answer: str | None) -> Row:
    """``pieces`` of the text, and where among them thought and answer stand; one that is no part of it is given whole.

    An answer that begins with the thought (the whole reply, for a verifier to find a box in) is shown from its end on.
    """
    if answer is not None and thought and answer.startswith(thought):
        answer = answer[len(thought) :].strip()
    pieces: list[str] = []
    places: dict[str, int | str] = {}
    position = 0
    for name, part in (("thought", thought), ("answer", answer)):
        start = text.find(part, position) if part else -1
        if start < 0:
            places |= {name: part} if part is not None else {}
            continue
        pieces += [text[position:start]] if start > position else []
        places[name] = len(pieces)
        pieces.append(part or "")
        position = start + len(part or "")
    return {"pieces": pieces + ([text[position:]] if position < len(text) else []), **places}


def alarm_steps(folder: Path) -> list[int]:
    """The steps at which the run raised an alarm."""
    path = folder / "events.jsonl"
    steps: set[int] = set()
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("event") == "alarm" and isinstance(row.get("step"), int):
            steps.add(row["step"])
    return sorted(steps)


def _read_rollouts(path: Path) -> list[Group]:
    return [
        _group(row["prompt"], [_rollout(member, row["prompt"]) for member in row["members"]])
        for row in read_rollouts(path)
    ]


def _read_samples(path: Path) -> list[Group]:
    """The samples of an evaluation, those of a question together."""
    by_question: dict[Any, list[Row]] = {}
    for row in json.loads(path.read_bytes())["samples"]:
        by_question.setdefault(row["prompt_id"], []).append(row)
    return [_group(rows[0], [_sample(row) for row in rows]) for rows in by_question.values()]


def _group(prompt: Row, members: list[Row]) -> Group:
    group: Group = {
        "id": str(prompt["prompt_id"]),
        "family": str(prompt.get("family", "")),
        "level": prompt.get("level", ""),
        "language": str(prompt.get("language", "")),
        "question": str(prompt.get("question", "")),
        "gold": str(prompt.get("gold", "")),
        "members": members,
    }
    spread = _spread(members)
    return group | {"spread": spread} if spread else group


def _spread(members: Iterable[Row]) -> str | None:
    """What a group without variance has in common; None if values differ, or fewer than two were graded."""
    graded = [member for member in members if value_of(member) is not None]
    values = [value_of(member) for member in graded]
    if len(values) < 2 or any(value != values[0] for value in values):
        return None
    rights = {member.get("right") for member in graded}
    return ALL_RIGHT if rights == {True} else ALL_WRONG if rights == {False} else EQUAL


def _rollout(row: Row, prompt: Row) -> Row:
    rollout = row["rollout"]
    text = str(rollout["text"])
    template = TEMPLATES.get(prompt.get("template", ""))
    reply = template.split(text) if template else None
    is_graded = row.get("outcome", "graded") == "graded"
    scores = {str(name): _rounded(score) for name, score in row["scores"].items()}
    member: Row = {
        **told_apart(text, reply.thought if reply else text, reply.answer if reply else None),
        "scores": scores,
        "tokens": len(rollout["token_ids"]),
    }
    if is_graded:
        member["reward"] = _rounded(row["reward"])
        member |= {"right": scores["accuracy"] == 1} if "accuracy" in scores else {}
    else:
        member |= {"outcome": str(row["outcome"]), "detail": str(row.get("detail", ""))}
    if row.get("advantage") is not None:
        member["advantage"] = _rounded(row["advantage"])
    if rollout.get("is_taught"):
        member["taught"] = True
    return member | _finish(rollout)


def _sample(row: Row) -> Row:
    answer = row.get("answer")
    scores = {"accuracy": row.get("score", float(bool(row.get("is_correct")))), "format": row.get("is_well_formed", 0)}
    return {
        **told_apart(str(row["text"]), str(row.get("thought") or ""), None if answer is None else str(answer)),
        "scores": {name: _rounded(score) for name, score in scores.items()},
        "right": bool(row.get("is_correct")),
        "tokens": row.get("response_tokens", 0),
        **_finish(row),
    }


def _finish(row: Row) -> Row:
    reason = row.get("finish_reason", "stop")
    return {} if reason == "stop" else {"finish": str(reason)}


def _rounded(value: Any) -> float | None:
    """Four digits; None for what is no finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) else short


def _cut(text: Any, max_chars: int) -> Any:
    """A text that is too long as ``[start, characters left out, end]``; anything else as it is."""
    if not isinstance(text, str) or len(text) <= max_chars:
        return text
    head = max_chars * 2 // 3
    tail = max_chars - head
    return [text[:head], len(text) - max_chars, text[len(text) - tail :]]


ROLLOUTS = Source("rollouts", "Training", "rollouts", re.compile(r"step_(\d+)\.jsonl\.zst"), _read_rollouts)
EVALUATIONS = Source("evaluations", "Held-out evaluations", "eval", re.compile(r"step_(\d+)\.json"), _read_samples)
SOURCES = {source.name: source for source in (ROLLOUTS, EVALUATIONS)}
