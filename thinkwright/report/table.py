"""The result of a run as plain text for the terminal."""

from typing import Any, NamedTuple

_Cells = tuple[str, str, str, str]


class _Figure(NamedTuple):
    """How a figure is shown: its key, and the factor that makes a percentage of a share."""

    name: str
    key: str
    factor: float = 100.0
    unit: str = " %"


_FIGURES = (
    _Figure("accuracy", "accuracy"),
    _Figure("  +- (95 %)", "accuracy_standard_error", factor=196.0),
    _Figure("format rate", "format_rate"),
    _Figure("response tokens", "mean_response_tokens", factor=1.0, unit="  "),
    _Figure("reflection rate", "reflection_rate"),
    _Figure("truncated rate", "truncated_rate"),
    _Figure("language consistency", "language_consistency"),
)


def result_table(summary: dict[str, Any]) -> str:
    """Before and after side by side, then accuracy by family; ``-`` where ``summary.json`` has no figure."""
    before, after = summary.get("before") or {}, summary.get("after") or {}
    rows: list[_Cells] = [("", "before", "after", "change")]
    rows += [_cells(figure, before.get(figure.key), after.get(figure.key)) for figure in _FIGURES]
    before_by, after_by = (figures.get("accuracy_by_family") or {} for figures in (before, after))
    for family in sorted({*before_by, *after_by}):
        rows.append(_cells(_Figure(f"  {family}", "accuracy"), before_by.get(family), after_by.get(family)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(_aligned(row, widths) for row in rows)


def _cells(figure: _Figure, before: float | None, after: float | None) -> _Cells:
    shown = ["-" if value is None else f"{figure.factor * value:.1f}{figure.unit}" for value in (before, after)]
    if before is None or after is None or figure.key == "accuracy_standard_error":
        return figure.name, shown[0], shown[1], ""
    return figure.name, shown[0], shown[1], f"{figure.factor * (after - before):+.1f}"


def _aligned(row: _Cells, widths: list[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join((row[0].ljust(widths[0]), *numbers)).rstrip()
