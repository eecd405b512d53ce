"""The rows of one part of a task, training or held-out, while what cannot be used is sorted out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from thinkwright.errors import DataError
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.example import Example

# Why rows were left out, in the order in which it is looked at and told.
REASONS = {
    "unusable": "cannot be used",
    "broken": "known to be wrong",
    "gold_not_readable": "gold answer the verifier cannot read",
    "given_away": "copying from the question would pay",
    "too_long": "question over filters.max_question_characters",
    "duplicate": "question of an earlier row",
    "near_duplicate": "nearly the question of earlier rows",
    "contaminated": "give away a held-out question",
    "pass_rate": "pass rate outside the band, or not measured",
}
# What to do if no row is left; the task itself knows what for the other kinds.
_REMEDIES = {
    "too_long": "raise task.filters.max_question_characters",
    "duplicate": "leave this part out of the mixture",
    "near_duplicate": "raise task.filters.near_duplicate_share",
    "pass_rate": "measure this task's rows with `thinkwright difficulty`, or widen min_pass_rate and max_pass_rate",
}
_ROWS_SHOWN = 10
_SAMPLE_SEED = "held-out rows"


@dataclass
class Part:
    """Examples by id, and the ids of rows left out with the reason of each."""

    sources: list[str]
    """The files or addresses the rows came from."""
    examples: dict[str, Example] = field(default_factory=dict[str, Example])
    left_out: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """By kind of reason, as in REASONS, the rows and what exactly was the matter."""
    num_unsampled: int = 0
    """Held-out rows beyond those that are used."""

    def leave_out(self, kind: str, row: str, detail: str) -> None:
        """Take a row out, with the reason."""
        self.examples.pop(row, None)
        self.left_out.setdefault(kind, {})[row] = detail

    def leave_out_where(self, kind: str, reason_of: Callable[[str, Example], str | None]) -> None:
        """Take out every row for which there is a reason."""
        for row, example in list(self.examples.items()):
            if reason := reason_of(row, example):
                self.leave_out(kind, row, reason)

    def num_left_out(self) -> int:
        """Rows taken out."""
        return sum(map(len, self.left_out.values()))

    def report(self) -> dict[str, Any]:
        """Counts, and every row that was left out with the reason, as ``data.json`` holds them."""
        kinds = [kind for kind in REASONS if kind in self.left_out]
        return {
            "sources": self.sources,
            "rows": len(self.examples) + self.num_left_out() + self.num_unsampled,
            "used": len(self.examples),
            "left_out": {kind: len(self.left_out[kind]) for kind in kinds},
            "left_out_rows": {kind: self.left_out[kind] for kind in kinds},
        }

    def note(self, name: str) -> str:
        """One line for a person."""
        report = self.report()
        parts = [
            f"{count} left out, {REASONS[kind]} ({_listed(self.left_out[kind])})"
            for kind, count in report["left_out"].items()
        ]
        return "; ".join([f"{name}: {report['rows']} rows, {report['used']} used", *parts])


def leave_out_unreadable(part: Part) -> None:
    """Take out the rows whose gold answer their verifier cannot compare with; equal golds are looked at once."""
    reasons: dict[tuple[str, str], str | None] = {}
    for row, example in list(part.examples.items()):
        key = example.verifier, example.gold
        if key not in reasons:
            reasons[key] = VERIFIERS[example.verifier].check_gold(example.gold)
        if reason := reasons[key]:
            part.leave_out("gold_not_readable", row, f"gold answer {cut(example.gold)} {reason}")


def sample_held_out(part: Part, count: int) -> None:
    """Keep ``count`` rows, drawn once and for all, in their order."""
    rows = list(part.examples)
    if len(rows) <= count:
        return
    kept = set(Random(_SAMPLE_SEED).sample(rows, count))
    part.examples = {row: example for row, example in part.examples.items() if row in kept}
    part.num_unsampled = len(rows) - count


def check_not_empty(part: Part, remedy: str) -> None:
    """Raises DataError if no row is left, with the reason most rows have and what to do about that."""
    if part.examples:
        return
    name = ", ".join(part.sources)
    if not part.left_out:
        raise DataError(f"{name}: no rows; {remedy}")
    kind = max(part.left_out, key=lambda kind: len(part.left_out[kind]))
    row, detail = next(iter(part.left_out[kind].items()))
    raise DataError(
        f"{name}: none of the {part.num_left_out()} rows can be used; {row}: {detail}; {_REMEDIES.get(kind, remedy)}"
    )


def cut(text: str) -> str:
    """The start of a text, for a message."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."


def _listed(rows: Iterable[str]) -> str:
    found = list(rows)
    return ", ".join(found[:_ROWS_SHOWN]) + (", ..." if len(found) > _ROWS_SHOWN else "")
