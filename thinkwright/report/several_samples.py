"""What more samples bring: pass@k and votes over k, models side by side, from what ``thinkwright eval`` measured.

pass@k, the chance that one of k samples is right, tells how much a model could answer; where a base model catches up
with the trained one as k grows, training has made right answers likely rather than possible.
"""

import math
from collections.abc import Mapping
from typing import Any

from thinkwright.report.charts_scatter import Dot, kinds_legend, scatter_chart
from thinkwright.report.curves import share
from thinkwright.report.series import Run
from thinkwright.report.text import escape

_MIN_POINTS = 3
_KINDS = (("pass_at", "one of k right (pass@k)"), ("cons_at", "vote of k (cons@k)"))
_TITLE = "What more samples bring"


def several_samples(run: Run) -> str:
    """A figure for each suite whose samples are many enough; nothing without any."""
    suites = sorted({str(row.get("suite")) for row in run.measured})
    return "".join(_figure(suite, [row for row in run.measured if str(row.get("suite")) == suite]) for suite in suites)


def _figure(suite: str, rows: list[Mapping[str, Any]]) -> str:
    dots: list[Dot] = []
    names: list[str] = []
    for row in rows:
        for prefix, told in _KINDS:
            found = _points(row, prefix)
            if len(found) < _MIN_POINTS:
                continue
            name = f"{row.get('model')}, {told}"
            dots += [
                Dot(
                    k,
                    value,
                    len(names),
                    f"{name}\nk = {k}\n{share(value)} ({share(low)} to {share(high)})",
                    (low, high),
                )
                for k, value, low, high in found
            ]
            names.append(name)
    if not dots:
        return ""
    largest = max(dot.x for dot in dots)
    chart = scatter_chart(_TITLE, dots, share, (0.9, largest * 1.1), ("samples a question, k", "right answers"))
    told = (
        f"On {suite}: the chance that one of k samples is right, and how often the answer of most of k is, with 95% "
        "intervals. Where the base catches up, training has made right answers likely rather than possible."
    )
    return (
        f'<figure class="wide"><figcaption><h3>{_TITLE}</h3><p>{escape(told)}</p></figcaption>'
        f"{kinds_legend(names, has_frontier=False)}{chart}</figure>"
    )


def _points(row: Mapping[str, Any], prefix: str) -> list[tuple[int, float, float, float]]:
    """(k, share, low, high) of the free samples; of one sample it is the accuracy."""
    figures = row.get("figures")
    free = figures.get("free") if isinstance(figures, dict) else None
    if not isinstance(free, dict):
        return []
    keys = {1: "accuracy"} | {2**i: f"{prefix}_{2**i}" for i in range(1, 20) if f"{prefix}_{2**i}" in free}
    found: list[tuple[int, float, float, float]] = []
    for k, key in keys.items():
        values = [free.get(name) for name in (key, f"{key}_low", f"{key}_high")]
        if all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            found.append((k, *values))  # type: ignore[arg-type]
    return found
