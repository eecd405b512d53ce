"""The result of a run as plain text for the terminal."""

from typing import Any, NamedTuple

_Cells = tuple[str, str, str, str]


class _Figure(NamedTuple):
    """How a figure is shown: its key, and the factor that makes a percentage of a share."""

    name: str
    key: str
    factor: float = 100.0
    unit: str = " %"
    digits: int = 1


_FIGURES = (
    _Figure("accuracy", "accuracy"),
    _Figure("  95 % from", "accuracy_low"),
    _Figure("  95 % to", "accuracy_high"),
    _Figure("format rate", "format_rate"),
    _Figure("response tokens", "mean_response_tokens", factor=1.0, unit="  "),
    _Figure("reflection rate", "reflection_rate"),
    _Figure("truncated rate", "truncated_rate"),
    _Figure("language consistency", "language_consistency"),
)
_LOSS = _Figure("held-out loss", "held_out_loss", factor=1.0, unit="  ", digits=3)


def result_table(summary: dict[str, Any]) -> str:
    """Before and after side by side, then accuracy by family; ``-`` where ``summary.json`` has no figure."""
    before, after = summary.get("before") or {}, summary.get("after") or {}
    rows: list[_Cells] = [("", "before", "after", "change")]
    figures = (*(_FIGURES if "accuracy" in before or not before else ()), *([_LOSS] if _LOSS.key in before else []))
    rows += [_cells(figure, before.get(figure.key), after.get(figure.key)) for figure in figures]
    before_by, after_by = (figures.get("accuracy_by_family") or {} for figures in (before, after))
    for family in sorted({*before_by, *after_by}):
        rows.append(_cells(_Figure(f"  {family}", "accuracy"), before_by.get(family), after_by.get(family)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(_aligned(row, widths) for row in rows)


def pipeline_table(summary: dict[str, Any]) -> str:
    """A line a stage: its last figures side by side; ``-`` where it has none."""
    keys = ("accuracy", "format_rate", "language_consistency", "mean_response_tokens")
    rows: list[tuple[str, ...]] = [("stage", "status", "seconds", "accuracy", "format", "language", "tokens")]
    for name, stage in summary["stages"].items():
        figures = stage["figures"]
        shown = [_shown(figures.get(key), is_share=key != "mean_response_tokens") for key in keys]
        rows.append((name, stage["status"], f"{stage['wall_seconds']:.0f}", *shown))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(value: float | None, *, is_share: bool) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if is_share else f"{value:.1f}"


def _cells(figure: _Figure, before: float | None, after: float | None) -> _Cells:
    shown = [
        "-" if value is None else f"{figure.factor * value:.{figure.digits}f}{figure.unit}" for value in (before, after)
    ]
    if before is None or after is None or figure.key in ("accuracy_low", "accuracy_high"):
        return figure.name, shown[0], shown[1], ""
    return figure.name, shown[0], shown[1], f"{figure.factor * (after - before):+.{figure.digits}f}"


def _aligned(row: _Cells, widths: list[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join((row[0].ljust(widths[0]), *numbers)).rstrip()
