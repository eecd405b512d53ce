"""Tasks by name: the rows of a known data set, from a data folder or from the Hub."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from thinkwright.config.problems import did_you_mean
from thinkwright.config.tasks import NamedTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.example import Example, Row, Source, UnusableRow
from thinkwright.tasks.filters import apply_filters
from thinkwright.tasks.given_away import leave_out_given_away
from thinkwright.tasks.loaded import Loaded, Questions
from thinkwright.tasks.part import Part, leave_out_unreadable
from thinkwright.tasks.read import HUB_PREFIX, expanded, hub_parts, place_of, read_rows, stem_of
from thinkwright.tasks.sets import SETS

DATA_VARIABLE = "THINKWRIGHT_DATA"
HUB = "hub"


def load_named_task(settings: NamedTask) -> Loaded:
    """Read the set's rows, sort out what cannot be used.

    Raises DataError naming place and remedy; RecipeError for a level, family or language that no set of the task has.
    """
    named, folder = SETS[settings.name], data_folder(settings.data)
    if not named.training:
        raise DataError(
            f"task.name {settings.name}: this set is for evaluation only; train on another one, with "
            f'task.held_out = ["{settings.name}"]'
        )
    training = _read_part(settings.name, "training", folder, settings.families)
    names = dict.fromkeys(settings.held_out or (settings.name,))
    evaluation = [_evaluation_part(name, settings, folder) for name in names]
    parts = {name: [part] for name, (part, _) in zip(names, evaluation, strict=True)}
    parts.setdefault(settings.name, []).append(training)
    _select(parts, settings)
    held_out = _merged([part for part, _ in evaluation])
    leave_out_unreadable(training)
    leave_out_given_away(training)
    apply_filters(training, held_out, settings.filters, is_made=named.is_made)
    return Loaded(
        name=settings.name,
        training=training,
        held_out=held_out,
        is_made=named.is_made,
        evaluation=(
            *(questions for _, questions in evaluation),
            *decontamination_questions(settings.filters.decontaminate_against, settings.data, "question"),
        ),
        max_held_out=settings.max_held_out,
        is_deduplicated=settings.filters.deduplicate,
        remedy=f"check task.data, and the levels, languages and families that task {settings.name} is to use",
    )


def decontamination_questions(names: Sequence[str], data: str | None, question_column: str) -> list[Questions]:
    """The questions of evaluation sets given by name, or as files of rows with that column."""
    return [_held_out_questions(name, data) if name in SETS else _questions_of(name, question_column) for name in names]


def read_set(name: str, part: str, data: str | None = None) -> Part:
    """The ``training`` or ``held_out`` rows of a named set, without those whose gold answer cannot be compared with."""
    found = _read_part(name, part, data_folder(data), ())
    leave_out_unreadable(found)
    return found


def data_folder(data: str | None) -> Path | None:
    """The folder to read sets from; None means the Hub."""
    chosen = data or os.environ.get(DATA_VARIABLE) or HUB
    if chosen == HUB:
        return None
    origin = "task.data" if data else f"the environment variable {DATA_VARIABLE}"
    folder = expanded(chosen, origin)
    if not os.path.isdir(folder):
        raise DataError(f'{folder}: no such folder; correct {origin}, or set task.data = "{HUB}"')
    return folder


def _held_out_questions(name: str, data: str | None) -> Questions:
    """All held-out questions of a named set, whether usable or not."""
    part = _read_part(name, "held_out", data_folder(data), ())
    return Questions(name, tuple(part.examples.values()), SETS[name].is_made)


def _questions_of(address: str, column: str) -> Questions:
    key = "task.filters.decontaminate_against"
    if not any(mark in address for mark in "/.:"):
        raise RecipeError(f"{key}: {address!r} is neither a file nor one of the sets {', '.join(sorted(SETS))}")
    examples: list[Example] = []
    for number, row in read_rows(address, key):
        if not isinstance(row.get(column), str):
            raise DataError(f"{place_of(address, number)}: no text in a column {column!r}; give another file as {key}")
        examples.append(Example(row[column], verifier="", gold="", reference="", family=""))
    return Questions(address, tuple(examples), is_made=False)


def _evaluation_part(name: str, settings: NamedTask, folder: Path | None) -> tuple[Part, Questions]:
    families = settings.families if name == settings.name else ()
    part = _read_part(name, "held_out", folder, families)
    questions = Questions(name, tuple(part.examples.values()), SETS[name].is_made)
    leave_out_unreadable(part)
    return part, questions


def _merged(parts: list[Part]) -> Part:
    merged = Part([source for part in parts for source in part.sources])
    for part in parts:
        merged.examples.update(part.examples)
        for kind, rows in part.left_out.items():
            merged.left_out.setdefault(kind, {}).update(rows)
    return merged


def _select(parts: Mapping[str, Sequence[Part]], settings: NamedTask) -> None:
    """Keep the levels, languages and families asked for; the others do not count as rows of the task.

    ``parts`` are those of each set. Levels mean something else in every set: they choose rows of the task's own alone.
    """
    if settings.levels is not None:
        _select_levels(parts[settings.name], *settings.levels, SETS[settings.name].level_means)
    _select_by("languages", lambda example: example.language, settings.languages, parts)
    _select_by("families", lambda example: example.family, settings.families, parts)


def _select_levels(parts: Sequence[Part], low: int, high: int, level_means: str) -> None:
    """Raises RecipeError if no row is left of those that there are, with the levels that there would be."""
    there = sorted({found.level for part in parts for found in part.examples.values()})
    if there and not any(low <= level <= high for level in there):
        raise RecipeError(
            f"task.levels = [{low}, {high}]: no row of the set has such a level ({level_means or 'all have level 1'}); "
            f"there are {', '.join(map(str, there))}"
        )
    for part in parts:
        part.examples = {row: found for row, found in part.examples.items() if low <= found.level <= high}


def _select_by(
    key: str, value_of: Callable[[Example], str], wanted: tuple[str, ...], parts: Mapping[str, Sequence[Part]]
) -> None:
    """Keep rows with a wanted value, in the sets that have one. Raises RecipeError for a value that no set has."""
    known = {name: {value_of(e) for part in found for e in part.examples.values()} for name, found in parts.items()}
    everything = set[str]().union(*known.values())
    for value in wanted:
        if value not in everything:
            raise RecipeError(
                f"task.{key}: no row of {', '.join(parts)} has {value!r}{did_you_mean(value, everything) or ';'} "
                f"there are {', '.join(sorted(everything))}"
            )
    for part in [part for name in parts if known[name].intersection(wanted) for part in parts[name]]:
        part.examples = {row: found for row, found in part.examples.items() if value_of(found) in wanted}


def _read_part(name: str, part: str, folder: Path | None, families: tuple[str, ...]) -> Part:
    named = SETS[name]
    sources = named.training if part == "training" else named.held_out
    found = Part([])
    for source in sources:
        if source.make is not None:
            found.sources.append(f"{name} ({part})")
            for number, row in enumerate(source.make(families), 1):
                _add(found, name, f"{part}/{number}", row, f"{name} ({part}):{number}")
            continue
        address = _address(source, folder)
        if address is None:
            continue
        found.sources.append(address)
        stem = _stem(address)
        for number, row in _rows(source, address):
            if source.keep is None or _is_kept(source, row, place_of(address, number), name):
                _add(found, name, f"{stem}/{number}", row, place_of(address, number))
    if not found.sources:
        raise DataError(
            f"task {name}: these rows are not on the Hub in a form that can be read; set task.data to a folder "
            f"that holds {', '.join(source.file for source in sources)}"
        )
    return found


def _address(source: Source, folder: Path | None) -> str | None:
    if folder is None:
        return f"{HUB_PREFIX}{source.hub}" if source.hub else None
    return str(folder / source.file) if source.file else None


def _stem(address: str) -> str:
    """A file's name, or the configuration and split of a Hub address: what tells the parts of a set apart."""
    return ".".join(hub_parts(address)[1:]) if address.startswith(HUB_PREFIX) else stem_of(address)


def _rows(source: Source, address: str) -> Iterator[tuple[int, Row]]:
    rows = read_rows(address, "task.data")
    if not address.startswith(HUB_PREFIX):
        yield from rows
        return
    for number, row in rows:
        renamed = {ours: row[theirs] for ours, theirs in source.columns.items() if theirs in row}
        yield number, {**row, **renamed, **source.constants}


def _is_kept(source: Source, row: Row, place: str, name: str) -> bool:
    try:
        return source.keep is None or source.keep(row)
    except (KeyError, TypeError, ValueError) as error:
        raise _misread(row, place, name, error) from error


def _add(part: Part, name: str, number: str, row: Row, place: str) -> None:
    """Put a row in, or leave it out with the reason."""
    named = SETS[name]
    try:
        example, reason = named.example(row), ""
    except UnusableRow as error:
        example, reason = None, str(error)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, SyntaxError) as error:
        raise _misread(row, place, name, error) from error
    row_id = f"{name}/{(example and example.source_id) or number}"
    if row_id in part.examples:
        row_id = f"{row_id}/{number}"
    if example is None:
        part.leave_out("unusable", row_id, reason)
    elif row_id in named.broken:
        part.leave_out("broken", row_id, named.broken[row_id])
    else:
        part.examples[row_id] = replace(example, source_id=row_id)


def _misread(row: Row, place: str, name: str, error: Exception) -> DataError:
    if isinstance(error, KeyError):
        return DataError(
            f"{place}: no column {error.args[0]!r}, only {', '.join(map(repr, row))}; is this a file of {name}?"
        )
    return DataError(f"{place}: cannot be read as a row of {name} ({type(error).__name__}: {error}); mend the row")
