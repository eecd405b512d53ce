"""A chart of single points against a logarithmic axis, with a frontier through the best: SVG like ``charts.py``'s."""

from collections.abc import Sequence
from dataclasses import dataclass

from thinkwright.report.axes import FRAME, SMALL, Format, Scale, axes, drawing, log_ticks, nice_ticks
from thinkwright.report.charts import NUM_SERIES, series_colour
from thinkwright.report.series import Points
from thinkwright.report.text import compact, escape

# Told apart by form as well as by colour.
_FORMS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-5l4.8 8.4h-9.6z",
    "M0-5.2l5.2 5.2l-5.2 5.2l-5.2-5.2z",
    "M-4.8-3.4h9.6l-4.8 8.4z",
    "M-1.6-4.8h3.2v3.2h3.2v3.2h-3.2v3.2h-3.2v-3.2h-3.2v-3.2h3.2z",
)
_MAX_TICKS, _MAX_SMALL_TICKS = 12, 4


@dataclass(frozen=True)
class Dot:
    """One measurement."""

    x: float
    """Above 0."""
    y: float
    kind: int
    """Which of the chart's kinds it is: its colour and its form."""
    told: str
    """What pointing at it says."""
    ends: tuple[float, float] | None = None
    """Its 95 % interval."""


@dataclass(frozen=True)
class Plateau:
    """Where a fit says that more brings no more."""

    value: float
    low: float
    high: float
    begins: float
    """On the horizontal axis."""


def scatter_chart(
    title: str,
    dots: Sequence[Dot],
    form: Format,
    x_ends: tuple[float, float],
    labels: tuple[str, str],
    frontier: Points = (),
    plateau: Plateau | None = None,
    is_small: bool = False,
) -> str:
    """The points as an ``<svg>``; ``labels`` name the horizontal and the vertical axis."""
    frame = SMALL if is_small else FRAME
    values = [value for dot in dots for value in (dot.y, *(dot.ends or ()))]
    values += [plateau.low, plateau.high] if plateau else []
    y_ticks = (0.0, 0.5, 1.0) if is_small else nice_ticks(min(0.0, *values), max(values), 5)
    scale = Scale(frame, x_ends, (y_ticks[0], y_ticks[-1]), is_log=True)
    x_ticks = [(tick, compact(tick)) for tick in _ticks(*x_ends, _MAX_SMALL_TICKS if is_small else _MAX_TICKS)]
    names = ("", "") if is_small else labels
    parts = [axes(scale, x_ticks, [(tick, form(tick)) for tick in y_ticks], *names)]
    parts += [_plateau(plateau, scale)] if plateau else []
    if frontier:
        line = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in frontier)
        parts.append(f'<polyline class="curve frontier" points="{line}"/>')
    parts += [_dot(dot, scale) for dot in dots]
    return drawing(frame, f"{title}: {labels[1]} over {labels[0]}", parts)


def kinds_legend(names: Sequence[str], has_frontier: bool) -> str:
    """Names of the kinds with their forms and colours."""
    keys = [
        f'<span><svg class="key-form" viewBox="-6 -6 12 12" aria-hidden="true"><path class="dot {series_colour(i)}" '
        f'd="{_form(i)}"/></svg>{escape(name)}</span>'
        for i, name in enumerate(names)
    ]
    keys += ['<span class="key frontier">frontier</span>'] if has_frontier else []
    return f'<p class="legend">{"".join(keys)}</p>'


def _form(kind: int) -> str:
    return _FORMS[kind % NUM_SERIES]


def _ticks(low: float, high: float, most: int) -> Sequence[float]:
    """Round values, so few that their names do not meet."""
    found = log_ticks(low, high)
    found = found[:: -(-len(found) // most)] if found else found
    return found if len(found) > 1 else [tick for tick in nice_ticks(low, high, 3) if low <= tick <= high]


def _dot(dot: Dot, scale: Scale) -> str:
    x, y, colour = scale.x(dot.x), scale.y(dot.y), series_colour(dot.kind)
    whisker = ""
    if dot.ends is not None:
        low, high = (scale.y(end) for end in dot.ends)
        whisker = f'<line class="whisker {colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
    return (
        f"<g><title>{escape(dot.told)}</title>{whisker}"
        f'<path class="dot {colour}" transform="translate({x:.1f} {y:.1f})" d="{_form(dot.kind)}"/></g>'
    )


def _plateau(plateau: Plateau, scale: Scale) -> str:
    left, right = scale.frame.left, scale.frame.width - scale.frame.right
    top, bottom = scale.frame.top, scale.frame.height - scale.frame.bottom
    high, low, middle = (f"{scale.y(value):.1f}" for value in (plateau.high, plateau.low, plateau.value))
    x = f"{scale.x(plateau.begins):.1f}"
    return (
        f'<polygon class="band plateau" points="{left},{high} {right},{high} {right},{low} {left},{low}"/>'
        f'<line class="level" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>'
        f'<line class="level" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
    )
