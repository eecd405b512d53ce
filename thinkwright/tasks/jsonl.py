"""Questions and answers from JSON-lines files, one object a line, plain or gzip.

A broken file or row stops the run with its place. A row whose gold answer no reply could ever equal would only teach
noise: it is left out, counted and listed. So is a training row that gives away a held-out question.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from thinkwright.chat.template import r1_zero_prompt
from thinkwright.config.recipe import JsonlTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.rewards.verifiers import VERIFIERS
from thinkwright.tasks.decontamination import NgramIndex
from thinkwright.types import Prompt

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_KEYS = {"training": "path", "held_out": "held_out_path"}
_ROWS_SHOWN = 10


@dataclass(frozen=True)
class JsonlPrompts:
    """The usable rows of two files."""

    training: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]
    report: dict[str, Any]

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """The next ``count`` rows in an order shuffled anew for every pass through the file.

        The pass is part of the id: at its border a row can come twice in a step, and ids must differ there.
        """
        num_rows = len(self.training)
        places = [divmod(position, num_rows) for position in range(step * count, (step + 1) * count)]
        orders = {epoch: _epoch_order(seed, epoch, num_rows) for epoch, _ in places}
        chosen = [(epoch, self.training[orders[epoch][i]]) for epoch, i in places]
        return [replace(prompt, prompt_id=f"{prompt.prompt_id}/epoch_{epoch}") for epoch, prompt in chosen]

    def all_prompts(self) -> tuple[Prompt, ...]:
        """All training and held-out prompts."""
        return self.training + self.held_out

    def notes(self) -> list[str]:
        """One line for each file with its counts."""
        return [_note(part) for part in self.report.values()]


@dataclass(frozen=True)
class _File:
    """The rows of one file: prompts by row number, and the numbers of rows left out with the reason of each."""

    path: Path
    prompts: dict[int, Prompt]
    unmatched: dict[int, str]
    unreadable: dict[int, str]


def load_jsonl_prompts(settings: JsonlTask) -> JsonlPrompts:
    """Read both files, check every row, and drop training rows that equal or share a 10-gram with a held-out one.

    Raises DataError naming file, row and remedy; RecipeError if ``answer_pattern`` is no pattern with a group.
    """
    pattern = _compile(settings.answer_pattern)
    held_out = _read(settings, "held_out", pattern, settings.max_held_out)
    training = _read(settings, "training", pattern, None)
    index = NgramIndex(prompt.question for prompt in held_out.prompts.values())
    overlaps = {number: index.overlaps(prompt.question) for number, prompt in training.prompts.items()}
    contaminated = [number for number, is_shared in overlaps.items() if is_shared]
    clean = tuple(prompt for number, prompt in training.prompts.items() if not overlaps[number])
    if not clean:
        raise DataError(
            f"{training.path}: all {len(training.prompts)} usable rows share a 10-gram with {held_out.path}; "
            "give two files with different questions"
        )
    report = {"training": _counts(training, contaminated), "held_out": _counts(held_out, [])}
    return JsonlPrompts(clean, tuple(held_out.prompts.values()), report)


def language_of(question: str) -> str:
    """``zh`` if the question has more Chinese characters than Latin words, else ``en``."""
    return "zh" if len(_HAN.findall(question)) > len(_LATIN_WORD.findall(question)) else "en"


def _epoch_order(seed: int, epoch: int, num_rows: int) -> list[int]:
    order = list(range(num_rows))
    Random(f"prompts/{seed}/{epoch}").shuffle(order)
    return order


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RecipeError(f"task.answer_pattern: {pattern!r} is not a regular expression ({error}); mend it") from error
    if not compiled.groups:
        raise RecipeError(
            f"task.answer_pattern: {pattern!r} has no group; put parentheses around the gold answer, such as (.+)"
        )
    return compiled


def _read(settings: JsonlTask, part: str, pattern: re.Pattern[str] | None, limit: int | None) -> _File:
    """The first ``limit`` rows (all if None) of the ``training`` or ``held_out`` file, sorted into usable and not."""
    key = _KEYS[part]
    path = Path(getattr(settings, key)).expanduser()
    found = _File(path, {}, {}, {})
    name = Path(path.name.removesuffix(".gz")).stem
    for number, line in islice(_filled_lines(path, f"task.{key}"), limit):
        row = _parse_row(line, f"{path}:{number}")
        question = _field(row, settings.question_field, "question_field", f"{path}:{number}").strip()
        answer = _field(row, settings.answer_field, "answer_field", f"{path}:{number}").strip()
        if not question:
            raise DataError(f"{path}:{number}: field {settings.question_field!r} is empty; remove the row or fill it")
        gold = _gold(answer, pattern)
        if pattern and not gold:
            found.unmatched[number] = f"task.answer_pattern finds nothing in {_cut(answer)}"
        elif reason := VERIFIERS[settings.verifier].check_gold(gold):
            found.unreadable[number] = f"gold answer {_cut(gold)} {reason}"
        else:
            found.prompts[number] = _prompt(f"{part}/row_{number}", question, gold, settings.verifier, name)
    _check_not_empty(found, key)
    return found


def _check_not_empty(found: _File, key: str) -> None:
    left_out = found.unmatched | found.unreadable
    if found.prompts:
        return
    if not left_out:
        raise DataError(f"{found.path}: no rows; give a file with one JSON object a line as task.{key}")
    number, reason = min(left_out.items())
    raise DataError(
        f"{found.path}: none of the {len(left_out)} rows can be used; row {number}: {reason}; "
        "set task.answer_field, task.answer_pattern and task.verifier to fit the file"
    )


def _filled_lines(path: Path, key: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _decode(line, f"{path}:{number}")
    except FileNotFoundError as error:
        nearest = next(parent for parent in path.resolve().parents if parent.is_dir())
        raise DataError(f"{path}: no such file; the nearest folder that exists is {nearest}; correct {key}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); fetch it again, or rename a plain one") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a readable file as {key}") from error


def _decode(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: byte {error.start} of the line is not UTF-8; save the file as UTF-8") from error


def _parse_row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{place}: not valid JSON ({reason}); write one JSON object a line") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: a JSON {type(row).__name__}; write one JSON object a line")
    return row


def _field(row: dict[str, Any], name: str, key: str, place: str) -> str:
    if name not in row:
        raise DataError(f"{place}: no field {name!r}, only {', '.join(map(repr, row))}; set task.{key}")
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{place}: field {name!r} is {_cut(json.dumps(value))}; it must be text or a number")
    text = str(value)
    if _LONE_SURROGATE.search(text):
        raise DataError(f"{place}: field {name!r} holds half a character (a surrogate such as \\ud800); mend the row")
    return text


def _gold(answer: str, pattern: re.Pattern[str] | None) -> str:
    """What the pattern's first group finds, nothing if it does not match; the whole answer without a pattern."""
    if pattern is None:
        return answer
    match = pattern.search(answer)
    return (match[1] or "").strip() if match else ""


def _prompt(prompt_id: str, question: str, gold: str, verifier: str, family: str) -> Prompt:
    text, language = r1_zero_prompt(question), language_of(question)
    return Prompt(prompt_id, question, text, verifier, gold, family, level=1, language=language)


def _cut(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."


def _counts(found: _File, contaminated: list[int]) -> dict[str, Any]:
    return {
        "file": str(found.path),
        "rows": len(found.prompts) + len(found.unmatched) + len(found.unreadable),
        "used": len(found.prompts) - len(contaminated),
        "contaminated": len(contaminated),
        "contaminated_rows": contaminated,
        "answer_not_matched": len(found.unmatched),
        "answer_not_matched_rows": list(found.unmatched),
        "gold_not_parseable": len(found.unreadable),
        "gold_not_parseable_rows": list(found.unreadable),
    }


def _note(counts: dict[str, Any]) -> str:
    reasons = {
        "contaminated": "share a 10-gram with a held-out question",
        "answer_not_matched": "answer does not match task.answer_pattern",
        "gold_not_parseable": "gold answer the verifier cannot read",
    }
    parts = [
        f"{counts[name]} left out, {reason} (rows {_listed(counts[f'{name}_rows'])})"
        for name, reason in reasons.items()
        if counts[name]
    ]
    return "; ".join([f"{counts['file']}: {counts['rows']} rows, {counts['used']} used", *parts])


def _listed(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:_ROWS_SHOWN])) + (", ..." if len(rows) > _ROWS_SHOWN else "")
