"""A run folder as data. Whatever is missing or broken becomes a note, so that every run gives a page."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, TypeGuard

from thinkwright.errors import RunFolderError

Row = dict[str, Any]
Points = tuple[tuple[float, float], ...]
"""(step, value) in the order of steps; values are finite."""
Rows = Callable[[Path, list[str]], tuple[Row, ...]]
"""Reads rows from a path, and adds to the list what could not be read."""


@dataclass(frozen=True)
class Event:
    """Something that went wrong at a step, or seemed to."""

    step: float
    kind: str
    """``alarm`` or ``guard``."""
    text: str
    """Its first line; examples, which the policy wrote, stay in the file."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds; an absent file is an empty value and a note."""

    name: str
    recipe: Row
    environment: Row
    metrics: tuple[Row, ...]
    """One row per training step."""
    evaluations: tuple[Row, ...]
    """Held-out evaluations in the order of steps."""
    baselines: Row
    """Figures of the base made to answer at once (``bare``) and step by step (``forced``)."""
    summary: Row
    notes: tuple[str, ...]
    """What could not be read, in plain words."""
    warnings: tuple[str, ...] = ()
    """What the self-check before the run and the alarms during it said."""
    table: Row = field(default_factory=dict[str, Any])
    """Figures of several models side by side (``table.json``), of a run that evaluates them."""
    rows: tuple[Row, ...] = ()
    """The first rows of ``examples.jsonl``, of a run that makes some."""
    events: tuple[Event, ...] = ()
    """Alarms, and the guard's stop, in the order of the file."""
    test_time: tuple[Row, ...] = ()
    measured: tuple[Row, ...] = ()
    """Accuracy against test-time compute, a curve for each model and suite that ``thinkwright eval`` measured."""
    folder: Path = Path()
    """Where it was read from."""

    @property
    def before(self) -> Row:
        """Figures of the first evaluation; empty if there is none."""
        return self.summary.get("before") or (self.evaluations[0]["figures"] if self.evaluations else {})

    @property
    def after(self) -> Row:
        """Figures of the last evaluation; empty if there is only the first."""
        if len(self.evaluations) == 1:
            return {}
        return self.summary.get("after") or (self.evaluations[-1]["figures"] if self.evaluations else {})

    @property
    def num_steps(self) -> int:
        """Training steps that were done."""
        return int(self.summary.get("steps") or (self.metrics[-1]["step"] + 1 if self.metrics else 0))

    @property
    def last_step(self) -> float:
        """The last step anything was measured at."""
        return max((row["step"] for row in (*self.metrics, *self.evaluations)), default=0)

    @property
    def stage(self) -> str:
        """What kind of run it was: the recipe's ``type``."""
        return str(self.setting("type", "rl"))

    @property
    def is_pretraining(self) -> bool:
        """The run made a base model from text; there is no reward, and nothing before it to compare with."""
        return self.stage == "pretrain"

    @property
    def planned_steps(self) -> int | None:
        """Training steps of the whole run: the recipe's, or, where they follow from the data, the summary's."""
        if self.stage == "evaluate":
            return len(self.setting("models", []))
        found = self.setting("steps") or self.summary.get("planned_steps")
        return None if found is None else int(found)

    @property
    def is_finished(self) -> bool:
        """There is a summary, and it counts all the steps of the run."""
        return bool(self.summary) and self.num_steps >= (self.planned_steps or 0)

    @property
    def wall_seconds(self) -> float | None:
        """Time the run took so far; None if nothing tells."""
        if "wall_seconds" in self.summary:
            return float(self.summary["wall_seconds"])
        return sum(seconds for _, seconds in self.trained("time/step_seconds")) or None

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the recipe by its dotted key."""
        value: Any = self.recipe
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    def trained(self, key: str) -> Points:
        """A metric over the training steps."""
        return _points((row["step"], row.get(key)) for row in self.metrics)

    def held_out(self, key: str) -> Points:
        """A figure over the held-out evaluations."""
        return _points((row["step"], row["figures"].get(key)) for row in self.evaluations)

    def held_out_band(self, key: str) -> Points:
        """The 95 % interval (low, high) of each point of ``held_out``; empty if one of them has none."""
        ends = [interval(row["figures"], key) for row in self.evaluations if _is_number(row["figures"].get(key))]
        known = tuple(end for end in ends if end is not None)
        return known if len(known) == len(ends) else ()

    def tokens_before(self) -> dict[int, float]:
        """Tokens sampled in training before each step, and after the last; empty if a step does not tell."""
        counts = self.trained("rollout/tokens")
        if not counts or [step for step, _ in counts] != list(range(len(self.metrics))):
            return {}
        return dict(enumerate(accumulate((count for _, count in counts), initial=0.0)))


SHOWN_ROWS = 8
SHOWN_WARNINGS = 6
_MAX_LINE = 500  # characters of an event's line
_FILES = ("recipe.json", "environment.json", "metrics.jsonl", "summary.json", "eval")


def read_run(folder: Path, read_metrics: Rows | None = None, read_evaluations: Rows | None = None) -> Run:
    """Read a run folder. Raises RunFolderError if it is not one.

    ``read_metrics`` and ``read_evaluations`` may stand in for reading those files whole, where a run is read often.
    """
    read_metrics, read_evaluations = read_metrics or _read_metrics, read_evaluations or _read_evaluations
    if not any((folder / name).exists() for name in _FILES):
        raise RunFolderError(
            f"{folder} is not a run folder: it holds none of {', '.join(_FILES)}; give the folder that a run wrote"
        )
    notes: list[str] = []
    absent = {
        "recipe.json": "its settings are not known",
        "environment.json": "the machine and the versions are not known",
        "summary.json": "the run is still in progress, or it was stopped before its end",
    }
    found = {name: read_json_object(folder / name, meaning, notes) for name, meaning in absent.items()}
    stage = found["recipe.json"].get("type")
    is_trained = stage not in ("rejection_sample", "evaluate")
    events = _events(folder / "events.jsonl")
    metrics = () if stage == "evaluate" else read_metrics(folder / "metrics.jsonl", notes)
    return Run(
        name=folder.resolve().name,
        recipe=found["recipe.json"],
        environment=found["environment.json"],
        metrics=metrics,
        evaluations=read_evaluations(folder / "eval", notes) if is_trained else (),
        baselines=read_json_object(folder / "eval" / "baselines.json", None, notes),
        summary=_current(found["summary.json"], metrics, notes),
        warnings=(*_doctor_warnings(folder / "doctor.json", notes), *_told(events)),
        notes=tuple(notes),
        table=read_json_object(folder / "table.json", None, notes),
        rows=_first_rows(folder / "examples.jsonl"),
        events=events,
        test_time=tuple(
            read_json_object(path, None, notes) for path in sorted((folder / "eval").glob("*/*/test_time.json"))
        ),
        measured=tuple(
            read_json_object(path, None, notes) for path in sorted((folder / "eval").glob("*/*/figures.json"))
        ),
        folder=folder,
    )


def interval(figures: Row, key: str) -> tuple[float, float] | None:
    """The 95 % interval of a figure: as it was measured, or, from a standard error, the normal one."""
    value, low, high, error = (figures.get(f"{key}{end}") for end in ("", "_low", "_high", "_standard_error"))
    if _is_number(low) and _is_number(high):
        return low, high
    return (value - 1.96 * error, value + 1.96 * error) if _is_number(value) and _is_number(error) else None


def _first_rows(path: Path) -> tuple[Row, ...]:
    if not path.exists():
        return ()
    with path.open("rb") as file:
        return tuple(row for line in islice(file, SHOWN_ROWS) if (row := _object(line, lambda: None)))


def _doctor_warnings(path: Path, notes: list[str]) -> list[str]:
    checks = read_json_object(path, None, notes).get("checks", [])
    if not isinstance(checks, list) or not all(isinstance(row, dict) for row in checks):
        notes.append("doctor.json could not be read and is left out.")
        return []
    warnings = [row for row in checks if row.get("status") == "warning"]
    return [f"Before the run, {row.get('name')}: {row.get('found')}." for row in warnings]


def _events(path: Path) -> tuple[Event, ...]:
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    rows = [_object(line, lambda: None) for line in lines if b'"alarm"' in line or b'"guard"' in line]
    return tuple(
        Event(float(row["step"]), row["event"], str(row.get("text")).partition("\n")[0][:_MAX_LINE])
        for row in rows
        if row.get("event") in ("alarm", "guard") and _is_number(row.get("step"))
    )


def _told(events: tuple[Event, ...]) -> list[str]:
    """The first events in words, for the top of the page."""
    lines = [f"{event.kind.capitalize()} at step {event.step:g}: {event.text}." for event in events[:SHOWN_WARNINGS]]
    more = len(events) - len(lines)
    return [*lines, f"And {more:,} more alarms, which the overview lists."] if more else lines


def read_json_object(path: Path, absence: str | None, notes: list[str]) -> Row:
    """The object in a file; empty, with a note, if it cannot be read. ``absence`` None: the file is optional."""
    if not path.exists():
        if absence is not None:
            notes.append(f"{path.name} is not there: {absence}.")
        return {}
    return _object(path.read_bytes(), lambda: notes.append(f"{path.name} could not be read and is left out."))


def _read_metrics(path: Path, notes: list[str]) -> tuple[Row, ...]:
    if not path.exists():
        notes.append("metrics.jsonl is not there: no training step was recorded, so there are no training curves.")
        return ()
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    broken: list[int] = []
    rows: list[Row] = []
    for i, line in enumerate(lines):
        row = _object(line, lambda i=i: broken.append(i))
        if "step" in row:
            rows.append(row)
    if broken == [len(lines) - 1]:
        notes.append("The last line of metrics.jsonl is broken (stopped in the middle of writing) and is left out.")
    elif broken:
        notes.append(f"{len(broken)} lines of metrics.jsonl, from line {broken[0] + 1} on, are broken and left out.")
    return tuple(rows)


def _current(summary: Row, metrics: tuple[Row, ...], notes: list[str]) -> Row:
    """The summary, unless the run was resumed since it was written."""
    if summary and metrics and metrics[-1]["step"] >= summary.get("steps", math.inf):
        notes.append(f"summary.json is of a stop after {summary['steps']} steps; the run has gone on since.")
        return {}
    return summary


def _read_evaluations(folder: Path, notes: list[str]) -> tuple[Row, ...]:
    rows = [read_json_object(path, None, notes) for path in sorted(folder.glob("step_*.json"))]
    whole = [row for row in rows if isinstance(row.get("figures"), dict) and "step" in row]
    if not whole:
        notes.append("There is no held-out evaluation yet.")
    return tuple(sorted(whole, key=lambda row: row["step"]))


def _object(text: bytes, on_broken: Callable[[], None]) -> Row:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    on_broken()
    return {}


def _points(pairs: Iterator[tuple[float, Any]]) -> Points:
    return tuple((float(step), float(value)) for step, value in pairs if _is_number(value))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
