"""Rows for supervised fine-tuning: question, thought and answer from JSON lines, written by the template, as token ids.

A broken file or row stops the run with its place. A row that is whole but must not be learned from (too long, not told
apart again by the template, a question of the evaluation) is left out, counted and listed.
"""

import hashlib
import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from thinkwright.characters import check_characters
from thinkwright.chat.template import Template
from thinkwright.errors import DataError
from thinkwright.models.policy import Policy
from thinkwright.tasks.decontamination import identity
from thinkwright.tasks.read import place_of, read_rows

# Why rows are left out, in the order in which it is looked at.
REASONS = {
    "contaminated": "ask a held-out question of the task",
    "not_well_formed": "not told apart again by the template, since they hold its tags or say nothing",
    "holds_end": "hold a token that ends a completion",
    "too_long": "over max_tokens",
}
_CHUNK_ROWS = 1024


@dataclass(frozen=True)
class SFTRow:
    """One row, ready to be learned from."""

    prompt_ids: "array[int]"
    completion_ids: "array[int]"
    """Thought, answer and end token: what the loss is taken of."""


@dataclass(frozen=True)
class SFTData:
    """The rows of all files, and what was left out."""

    training: tuple[SFTRow, ...]
    held_out: tuple[SFTRow, ...]
    report: dict[str, Any]
    """Counts, and every row that was left out with the reason, as ``data.json`` holds them."""

    def digest(self) -> str:
        """Of all token ids: the same only for the same rows, template and tokenizer."""
        found = hashlib.sha256()
        for row in (*self.training, *self.held_out):
            for ids in (row.prompt_ids, row.completion_ids):
                found.update(len(ids).to_bytes(8, "little") + ids.tobytes())
        return found.hexdigest()[:16]

    def notes(self) -> list[str]:
        """What a person should know, a line each."""
        report = self.report
        counts = f"{report['rows']:,} rows, {report['used']:,} to learn from, {report['held_out']:,} held out"
        lines = [f"data: {counts}; {report['completion_tokens']:,} tokens of thoughts and answers an epoch"]
        for kind, count in report["left_out"].items():
            places = list(report["left_out_rows"][kind])
            lines.append(f"data: {count:,} rows left out, {REASONS[kind]}: {', '.join(places[:5])}"[:400])
        return lines


@dataclass(frozen=True)
class _Written:
    """A row as the template writes it."""

    place: str
    question: str
    prompt: str
    completion: str
    is_told_apart: bool


@dataclass
class _Sorted:
    """Rows while they are sorted."""

    training: list[SFTRow] = field(default_factory=list[SFTRow])
    held_out: list[SFTRow] = field(default_factory=list[SFTRow])
    left_out: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


def load_sft_data(
    paths: Sequence[str],
    template: Template,
    policy: Policy,
    *,
    max_tokens: int,
    held_out_share: float = 0.0,
    evaluated: Sequence[str] = (),
) -> SFTData:
    """The rows of all files in order, held-out ones told by a digest of their question.

    ``evaluated``: questions that must not be learned from. Raises DataError naming file, row and remedy.
    """
    found, taken = _Sorted(), {identity(question, is_made=True) for question in evaluated}
    written = (row for path in paths for row in _read_file(path, template))
    while chunk := list(itertools.islice(written, _CHUNK_ROWS)):
        for text, row in zip(chunk, _tokenize(chunk, policy), strict=True):
            if fault := _fault(text, row, taken, frozenset(policy.end_ids), max_tokens):
                found.left_out.setdefault(fault[0], {})[text.place] = fault[1]
            else:
                is_held_out = question_share(text.question) < held_out_share
                (found.held_out if is_held_out else found.training).append(row)
    report = _report(paths, found)
    if not found.training:
        told = ", ".join(f"{count} {REASONS[kind]}" for kind, count in report["left_out"].items()) or "none left out"
        raise DataError(
            f"{', '.join(paths)}: no row is left to learn from ({told}; {len(found.held_out)} held out); give other "
            "rows, raise max_tokens, or lower held_out_share"
        )
    return SFTData(tuple(found.training), tuple(found.held_out), report)


def question_share(question: str) -> float:
    """Where a question falls between 0 and 1, whatever its spaces and case: equal questions fall together."""
    digest = hashlib.sha256(identity(question, is_made=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _report(paths: Sequence[str], found: _Sorted) -> dict[str, Any]:
    kinds = [kind for kind in REASONS if kind in found.left_out]
    num_left_out = sum(map(len, found.left_out.values()))
    return {
        "sources": list(paths),
        "rows": len(found.training) + len(found.held_out) + num_left_out,
        "used": len(found.training),
        "held_out": len(found.held_out),
        "completion_tokens": sum(len(row.completion_ids) for row in found.training),
        "left_out": {kind: len(found.left_out[kind]) for kind in kinds},
        "left_out_rows": {kind: found.left_out[kind] for kind in kinds},
    }


def _read_file(path: str, template: Template) -> Iterator[_Written]:
    is_empty = True
    for number, row in read_rows(path, "data"):
        is_empty = False
        yield _write(row, template, place_of(path, number))
    if is_empty:
        raise DataError(f"{path}: holds no row; give a file with one JSON object a line, or take it out of data")


def _write(row: dict[str, Any], template: Template, place: str) -> _Written:
    """The row's prompt and completion. Raises DataError for a row that is not as it must be."""
    question, answer = (_text(row, key, place) for key in ("question", "answer"))
    thought = _text(row, "thought", place) if row.get("thought") is not None else None
    if row.get("language") is not None:
        _text(row, "language", place)
    if not isinstance(row.get("source"), dict | None):
        raise DataError(f"{place}: source is {_kind(row['source'])}; write an object, or leave it out")
    if thought is None:
        if template.write_bare is None:
            raise DataError(
                f"{place}: no thought, and the template {template.name} has no form for that; write one, take the row "
                "out, or set template=think_summary"
            )
        completion = template.write_bare(answer)
        reply = template.split(completion)
        is_told_apart = (reply.thought, reply.answer) == ("", answer.strip())
    else:
        completion = template.write(thought, answer)
        is_told_apart = template.split(completion).is_well_formed
    return _Written(place, question, template.prompt(question), completion, is_told_apart)


def _text(row: dict[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if key not in row:
        raise DataError(f"{place}: no {key}; write question, thought (or null) and answer in every row")
    if not isinstance(value, str):
        raise DataError(f"{place}: {key} is {_kind(value)}; write it as text")
    if not value.strip():
        remedy = "write null for a row without one" if key == "thought" else "write one, or take the row out"
        raise DataError(f"{place}: {key} is empty; {remedy}")
    check_characters(value, place, key)
    return value


def _kind(value: Any) -> str:
    names = {"NoneType": "null", "str": "text", "list": "a list", "dict": "an object", "bool": "true or false"}
    return names.get(type(value).__name__, "a number")


def _tokenize(rows: Sequence[_Written], policy: Policy) -> Iterator[SFTRow]:
    """Prompt and completion apart, as sampling meets them."""
    prompts, completions = (
        policy.tokenizer(texts, add_special_tokens=False)["input_ids"]
        for texts in ([row.prompt for row in rows], [row.completion for row in rows])
    )
    for prompt, completion in zip(prompts, completions, strict=True):
        yield SFTRow(array("i", prompt), array("i", [*completion, policy.tokenizer.eos_token_id]))


def _fault(
    text: _Written, row: SFTRow, taken: set[str], end_ids: frozenset[int], max_tokens: int
) -> tuple[str, str] | None:
    """Why a row must not be learned from: the kind, and what exactly; None if it may."""
    if taken and identity(text.question, is_made=True) in taken:
        return "contaminated", "the same question"
    if not text.is_told_apart:
        return "not_well_formed", text.completion[:80]
    if end := end_ids.intersection(row.completion_ids[:-1]):
        return "holds_end", f"token {min(end)}"
    num_tokens = len(row.prompt_ids) + len(row.completion_ids)
    return ("too_long", f"{num_tokens} tokens") if num_tokens > max_tokens else None
