"""The doctor's findings for people (a table), for programs (``doctor.json``), and for a run that is about to start."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinkwright.config.recipe import RLRecipe
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import GateError
from thinkwright.models.policy import Policy
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.examine import DoctorReport, examine
from thinkwright.pipeline.doctor.rows import BadRow
from thinkwright.rewards.pool import WorkerPool
from thinkwright.run_folder import read_json
from thinkwright.tasks.exclusion import WithoutPrompts
from thinkwright.tasks.task import Task

DOCTOR_FILE = "doctor.json"
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}
_SHOWN_ROWS = 5
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class CheckUp:
    """A task that may be trained on."""

    task: Task
    """Without the rows that failed."""
    record: dict[str, Any]
    """What ``doctor.json`` holds."""
    notes: tuple[str, ...]
    """What a person should know before training starts."""


def check_up(
    recipe: RLRecipe, policy: Policy, task: Task, pool: WorkerPool, folder: Path, ranks: Ranks = SINGLE
) -> CheckUp:
    """Examine a recipe before its run; a run that was examined before keeps what was found then.

    The first rank does it for all. Raises GateError, with examples and remedies, if the run must not start.
    """
    record, notes = ranks.on_first(lambda: _record_of(recipe, policy, task, pool, folder))
    return CheckUp(_without(task, frozenset(record["excluded"])), record, notes)


def _record_of(
    recipe: RLRecipe, policy: Policy, task: Task, pool: WorkerPool, folder: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    path = folder / DOCTOR_FILE
    if path.exists():
        return read_json(path), ()
    report = examine(recipe, policy, task, pool)
    if not report.is_ok:
        raise GateError(problem_text(report))
    notes = [f"doctor: {check.name}: {check.found}; {check.remedy}" for check in report.checks if check.status != "ok"]
    summary = (
        f"doctor: {report.num_examined:,} of {report.num_rows:,} rows examined in {report.figures['seconds']:.1f} s"
    )
    return as_record(report), (summary, *notes)


def as_record(report: DoctorReport) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "is_ok": report.is_ok,
        "num_rows": report.num_rows,
        "num_examined": report.num_examined,
        "checks": [asdict(check) for check in report.checks],
        "figures": report.figures,
        "excluded": sorted(report.excluded),
        "bad_rows": [asdict(row) for row in report.bad_rows],
    }


def problem_text(report: DoctorReport) -> str:
    """What failed, with examples and remedies, for an error message."""
    failed = [check for check in report.checks if check.status == "failed"]
    lines = [f"doctor: {check.name}: {check.found}; {check.remedy}" for check in failed]
    examples = [f"  {line}" for row in _examples(report.bad_rows) for line in _row_lines(row)]
    rows = [f"{len(report.excluded):,} rows fail, for example:", *examples] if examples else []
    return "\n".join([*lines, *rows])


def print_checks(console: Console, title: str, checks: Sequence[Check]) -> None:
    """A table with a row for each check."""
    table = Table(title=title, title_justify="left", show_edge=False)
    for name in ("check", "", "found", "to do"):
        table.add_column(name, overflow="fold")
    for check in checks:
        status = Text(check.status, style=_STYLES[check.status])
        # Text, not markup: names and ids come from data files.
        table.add_row(Text(check.name), status, Text(_plain(check.found)), Text(_plain(check.remedy)))
    console.print(table)


def print_report(console: Console, title: str, report: DoctorReport) -> None:
    """The table, and the rows that fail."""
    print_checks(console, title, report.checks)
    if not report.bad_rows:
        return
    counts = Counter(row.fault for row in report.bad_rows)
    shown = ", ".join(f"{fault} {count:,}" for fault, count in counts.items())
    console.print(Text(f"\n{len(report.excluded):,} rows fail ({shown}) and are not trained on; for example:"))
    for row in _examples(report.bad_rows):
        console.print(Text("\n".join(_row_lines(row))), soft_wrap=True)


def _without(task: Task, excluded: frozenset[str]) -> Task:
    return WithoutPrompts(task, excluded) if excluded else task


def _examples(rows: Sequence[BadRow]) -> list[BadRow]:
    """A few of every fault."""
    seen: Counter[str] = Counter()
    chosen: list[BadRow] = []
    for row in rows:
        seen[row.fault] += 1
        if seen[row.fault] <= _SHOWN_ROWS:
            chosen.append(row)
    return chosen


def _row_lines(row: BadRow) -> list[str]:
    score = "no score" if row.score is None else f"score {row.score:g}"
    return [
        f"{row.prompt_id} ({row.fault}, {score}): {_cut(row.reason)}",
        f"  gold {_cut(repr(row.gold))}, reply {_cut(repr(row.reply))}",
    ]


def _cut(text: str) -> str:
    """The beginning and the end of a long text."""
    half = _SHOWN_CHARACTERS // 2
    return _plain(text) if len(text) <= _SHOWN_CHARACTERS else _plain(f"{text[:half]} ... {text[-half:]}")


def _plain(text: str) -> str:
    """Control characters, which a data file may hold, do nothing to the terminal."""
    return "".join(char if char.isprintable() or char == " " else "?" for char in text)
