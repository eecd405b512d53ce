"""Line charts and comparison strips as inline SVG. Colours come from classes, for light and dark alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal

from thinkwright.report.series import Points
from thinkwright.report.text import escape

Format = Callable[[float], str]

WIDTH, HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 26, 40
_MAX_DRAWN = 400
_MAX_HOVERED = 120
_SMOOTHED_FROM = 20


@dataclass(frozen=True)
class Line:
    """One curve. A noisy one is drawn thin with its moving average thick; a measured one with a dot per value."""

    name: str
    points: Points
    colour: Literal["train", "train-2", "train-3", "held-out"]
    is_noisy: bool = True
    half_widths: tuple[float, ...] = ()
    """Half the confidence interval of each point, if known."""


@dataclass(frozen=True)
class Level:
    """A dashed horizontal line to compare with."""

    name: str
    value: float


@dataclass(frozen=True)
class _Scale:
    """Data to SVG coordinates."""

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    num_steps: float

    def x(self, value: float) -> float:
        return _LEFT + value / self.num_steps * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        clamped = min(max(value, low), high)
        return HEIGHT - _BOTTOM - (clamped - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)


def line_chart(
    title: str, y_label: str, lines: Sequence[Line], levels: Sequence[Level], form: Format, last_step: float
) -> str:
    """A chart over the steps from 0 to ``last_step`` as an ``<svg>``; the lines must hold a point between them."""
    values = [y for line in lines for _, y in line.points] + [level.value for level in levels]
    values += [y + half for line in lines for (_, y), half in zip(line.points, line.half_widths, strict=False)]
    scale = _Scale(
        x_ticks=tuple(tick for tick in nice_ticks(0, max(last_step, 1), 6) if tick <= max(last_step, 1)),
        y_ticks=nice_ticks(min(0.0, *values), max(values), 5),
        num_steps=max(last_step, 1),
    )
    parts = [_axes(scale, y_label, form), *(_level(level, scale) for level in levels)]
    parts += [_line(line, scale) for line in lines]
    parts.append(_hover_strips(lines, scale, form))
    label = escape(f"{title}: {y_label} over training steps")
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def strip(marks: Sequence[tuple[str, float | None]], title: str) -> str:
    """Shares between 0 and 1 on one line as wide as its cell; ``marks`` are (class, value).

    A bar joins the marks of class ``before`` and ``after``. Coordinates in percent keep the dots round at any width.
    """
    known = {kind: value for kind, value in marks if value is not None}
    grid = "".join(f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>' for x in (0, 25, 50, 75, 100))
    drawn = [f"<title>{escape(title)}</title>", '<rect class="ground" width="100%" height="100%"/>', grid]
    if "before" in known and "after" in known:
        ends = f'x1="{100 * known["before"]:.1f}%" x2="{100 * known["after"]:.1f}%"'
        drawn.append(f'<line class="joint" {ends} y1="50%" y2="50%"/>')
    for kind, value in marks:
        if value is None:
            continue
        x = f"{100 * value:.1f}%"
        if kind in ("before", "after"):
            drawn.append(f'<circle class="mark {kind}" cx="{x}" cy="50%" r="5"/>')
        else:
            drawn.append(f'<line class="mark {kind}" x1="{x}" x2="{x}" y1="4%" y2="96%"/>')
    return f'<svg class="strip" role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'


def legend(lines: Sequence[Line], levels: Sequence[Level]) -> str:
    """Names of the lines with their colours."""
    keys = [(f"key {'dotted' if not line.is_noisy else ''} {line.colour}", line.name) for line in lines]
    keys += [("key level", level.name) for level in levels]
    return '<p class="legend">' + "".join(f'<span class="{kind}">{escape(name)}</span>' for kind, name in keys) + "</p>"


def nice_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About ``count`` round values whose ends enclose ``low`` and ``high``."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * base for factor in (1, 2, 2.5, 5, 10) if factor * base >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(i * step for i in range(first, max(last, first + 1) + 1))


def moving_average(points: Points) -> Points:
    """Centred mean over a twentieth of the points on either side, less near the ends."""
    reach = len(points) // 20
    return tuple((x, fmean(y for _, y in points[max(0, i - reach) : i + reach + 1])) for i, (x, _) in enumerate(points))


def thinned(points: Points, limit: int) -> Points:
    """At most ``limit`` points, each the mean of its neighbours."""
    size = math.ceil(len(points) / limit)
    if size <= 1:
        return points
    chunks = [points[i : i + size] for i in range(0, len(points), size)]
    return tuple((fmean(x for x, _ in chunk), fmean(y for _, y in chunk)) for chunk in chunks)


def _axes(scale: _Scale, y_label: str, form: Format) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [f'<text class="label" x="{_LEFT - 42}" y="14">{escape(y_label)}</text>']
    for tick in scale.y_ticks:
        y = f"{scale.y(tick):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{y}" dy="4" text-anchor="end">{escape(form(tick))}</text>')
    for tick in scale.x_ticks:
        x = f"{scale.x(tick):.1f}"
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="label" x="{right}" y="{HEIGHT - 6}" text-anchor="end">training step</text>')
    return "".join(parts)


def _level(level: Level, scale: _Scale) -> str:
    y = f"{scale.y(level.value):.1f}"
    at = f'x="{WIDTH - _RIGHT}" y="{y}" dy="-4" text-anchor="end"'
    return (
        f'<line class="level" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="level-name" {at}>{escape(level.name)}</text>'
    )


def _line(line: Line, scale: _Scale) -> str:
    if not line.is_noisy or len(line.points) < _SMOOTHED_FROM:
        dots = "".join(
            f'<circle class="dot {line.colour}" cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3.5"/>'
            for x, y in line.points
        )
        whiskers = "".join(
            f'<line class="whisker {line.colour}" x1="{scale.x(x):.1f}" x2="{scale.x(x):.1f}" '
            f'y1="{scale.y(y - half):.1f}" y2="{scale.y(y + half):.1f}"/>'
            for (x, y), half in zip(line.points, line.half_widths, strict=False)
        )
        return f"{whiskers}{_path(line.points, f'curve {line.colour}', scale)}{dots}"
    raw = _path(thinned(line.points, _MAX_DRAWN), f"curve raw {line.colour}", scale)
    return raw + _path(thinned(moving_average(line.points), _MAX_DRAWN), f"curve {line.colour}", scale)


def _path(points: Points, kind: str, scale: _Scale) -> str:
    drawn = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{drawn}"/>'


def _hover_strips(lines: Sequence[Line], scale: _Scale, form: Format) -> str:
    """Invisible columns that tell, under the pointer, every line's value at that step."""
    steps = sorted({x for line in lines for x, _ in line.points})
    size = math.ceil(len(steps) / _MAX_HOVERED)
    firsts = steps[::size]
    centres = [scale.x(first) for first in firsts]
    edges = [_LEFT, *(fmean(pair) for pair in pairwise(centres)), WIDTH - _RIGHT]
    height = HEIGHT - _TOP - _BOTTOM
    strips: list[str] = []
    for i, first in enumerate(firsts):
        last = steps[min((i + 1) * size, len(steps)) - 1]
        told = [f"step {first:g}" if first == last else f"steps {first:g} to {last:g}"]
        for line in lines:
            values = [y for x, y in line.points if first <= x <= last]
            told += [f"{line.name}: {form(fmean(values))}"] if values else []
        width = max(edges[i + 1] - edges[i], 0.5)
        box = f'x="{edges[i]:.1f}" width="{width:.1f}" y="{_TOP}" height="{height}"'
        strips.append(f'<rect class="hover" {box}><title>{escape(chr(10).join(told))}</title></rect>')
    return "".join(strips)
