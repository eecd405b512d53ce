"""Your own questions and answers, from files or the Hub, with the columns that the recipe names.

A broken file or row stops the run with its place. A row whose gold answer no reply could ever equal would only teach
noise: it is left out, counted and listed. So is a training row that gives away a held-out question.
"""

import json
import re
from typing import Any

from thinkwright.characters import check_characters
from thinkwright.config.tasks import RowsTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.rewards.language import checked_language, detect_language
from thinkwright.tasks.example import Example, Row
from thinkwright.tasks.filters import apply_filters
from thinkwright.tasks.given_away import leave_out_given_away
from thinkwright.tasks.loaded import Loaded, Questions
from thinkwright.tasks.named import decontamination_questions
from thinkwright.tasks.part import Part, cut, leave_out_unreadable
from thinkwright.tasks.read import place_of, read_rows, stem_of

# Verifiers whose gold is itself an answer; the others compare with tests, constraints or puzzles.
_GOLD_IS_ANSWER = ("number", "words", "word_set", "math", "exact")
_PATHS = {"training": "path", "held_out": "held_out_path"}


def load_rows(settings: RowsTask, id_prefix: str = "") -> Loaded:
    """Read both files and check every row.

    Raises DataError naming file, row and remedy; RecipeError if ``answer_pattern`` is no pattern with a group.
    """
    pattern = _compile(settings.answer_pattern)
    held_out = _read_part(settings, "held_out", pattern, id_prefix)
    training = _read_part(settings, "training", pattern, id_prefix)
    is_made = settings.questions_are_made
    questions = Questions(settings.held_out_path, tuple(held_out.examples.values()), is_made)
    leave_out_unreadable(training)
    leave_out_given_away(training)
    leave_out_unreadable(held_out)
    apply_filters(training, held_out, settings.filters, is_made=is_made)
    against = settings.filters.decontaminate_against
    return Loaded(
        name=stem_of(settings.path),
        training=training,
        held_out=held_out,
        is_made=is_made,
        evaluation=(questions, *decontamination_questions(against, None, settings.columns.question)),
        max_held_out=settings.max_held_out,
        is_deduplicated=settings.filters.deduplicate,
        remedy="set task.columns, task.answer_pattern and task.verifier to fit the file",
        leak_remedy=(
            "give other rows; if the questions are made from a template and share no more than its words, set "
            "task.questions_are_made = true"
        ),
    )


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


def _read_part(settings: RowsTask, name: str, pattern: re.Pattern[str] | None, id_prefix: str) -> Part:
    key = _PATHS[name]
    address = getattr(settings, key)
    part = Part([address])
    family = stem_of(address)
    for number, row in read_rows(address, f"task.{key}"):
        row_id, place = f"{id_prefix}{name}/row_{number}", place_of(address, number)
        example = _example(row, settings, pattern, family, place)
        if example.gold:
            part.examples[row_id] = example
        else:
            answer = _text(row, settings.columns.answer, "answer", place)
            part.leave_out("unusable", row_id, f"task.answer_pattern finds nothing in {cut(answer)}")
    return part


def _example(row: Row, settings: RowsTask, pattern: re.Pattern[str] | None, family: str, place: str) -> Example:
    """The row's example; without a gold answer if the pattern does not find one."""
    columns = settings.columns
    question = _text(row, columns.question, "question", place).strip()
    if not question:
        raise DataError(f"{place}: column {columns.question!r} is empty; remove the row or fill it")
    answer = _text(row, columns.answer, "answer", place, takes_json=settings.verifier not in _GOLD_IS_ANSWER).strip()
    match = pattern.search(answer) if pattern else None
    gold = answer if pattern is None else (match[1] or "").strip() if match else ""
    if pattern is None and not gold:
        raise DataError(f"{place}: column {columns.answer!r} is empty; remove the row or fill it")
    reference = gold if settings.verifier in _GOLD_IS_ANSWER else ""
    if columns.reference is not None:
        reference = _text(row, columns.reference, "reference", place)
    return Example(
        question=question,
        verifier=settings.verifier,
        gold=gold,
        reference=reference,
        family=_text(row, columns.family, "family", place) if columns.family else family,
        level=_level(row, columns.level, place) if columns.level else 1,
        language=_language(row, columns.language, place) if columns.language else detect_language(question),
    )


def _text(row: Row, column: str, key: str, place: str, *, takes_json: bool = False) -> str:
    """A column as text; lists and objects as JSON where the verifier reads that."""
    value = _value(row, column, key, place)
    if takes_json and isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        shown = cut(json.dumps(value, default=str))
        raise DataError(f"{place}: column {column!r} is {shown}; it must be text or a number")
    check_characters(str(value), place, f"column {column!r}")
    return str(value)


def _language(row: Row, column: str, place: str) -> str:
    language = _text(row, column, "language", place)
    try:
        return checked_language(language)
    except DataError as error:
        raise DataError(
            f"{place}: column {column!r}: {error}, or remove task.columns.language: then it is told from the question"
        ) from error


def _level(row: Row, column: str, place: str) -> int:
    value = _value(row, column, "level", place)
    is_whole = value.is_integer() if isinstance(value, float) else isinstance(value, int)
    if isinstance(value, bool) or not is_whole:
        raise DataError(
            f"{place}: column {column!r} is {cut(json.dumps(value, default=str))}; a level is a whole number"
        )
    return int(value)


def _value(row: Row, column: str, key: str, place: str) -> Any:
    if column not in row:
        raise DataError(f"{place}: no column {column!r}, only {', '.join(map(repr, row))}; set task.columns.{key}")
    return row[column]
