"""Line charts and comparison strips as inline SVG. Colours come from classes, for light and dark alike."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean

from thinkwright.report.axes import (
    FRAME,
    HEIGHT,
    SMALL,
    TWO_ROWS,
    WIDTH,
    Format,
    Frame,
    Scale,
    Tick,
    axes,
    drawing,
    inner_ticks,
    nice_ticks,
)
from thinkwright.report.series import Event, Points
from thinkwright.report.text import escape

__all__ = [
    "HEIGHT", "WIDTH", "Axis", "Format", "Level", "Line", "legend", "line_chart", "moving_average",
    "nice_ticks", "series_colour", "small_chart", "strip", "thinned",
]  # fmt: skip

NUM_SERIES = 6
"""Colours that can be told apart by the colour-blind, in light and dark; more lines repeat them dashed."""
_MAX_DRAWN = 400
_MAX_HOVERED = 120
_MAX_MARKS = 40
_SMOOTHED_FROM = 20


@dataclass(frozen=True)
class Line:
    """One curve. A noisy one is drawn thin with its moving average thick; a measured one with a dot per value."""

    name: str
    points: Points
    colour: str
    """A class of the style sheet: ``train``, ``train-2``, ``train-3``, ``held-out``, or ``series_colour``'s."""
    is_noisy: bool = True
    band: Points = ()
    """Low and high end of each point's interval, if known."""
    is_plain: bool = False
    """Drawn as it is: no dots, nothing smoothed."""


@dataclass(frozen=True)
class Level:
    """A dashed horizontal line to compare with."""

    name: str
    value: float


def _told_steps(first: float, last: float) -> str:
    return f"step {first:g}" if first == last else f"steps {first:g} to {last:g}"


@dataclass(frozen=True)
class Axis:
    """What the horizontal axis counts."""

    label: str = "training step"
    form: Format = "{:g}".format
    told: Callable[[float, float], str] = _told_steps
    """In words, a stretch from one value to another."""
    second: tuple[Tick, ...] = ()
    """Another row of ticks."""


STEPS = Axis()


def series_colour(index: int) -> str:
    """The class of the line at ``index`` among lines of one kind."""
    return f"series-{index % NUM_SERIES + 1}{' dashed' if index // NUM_SERIES % 2 else ''}"


def line_chart(
    title: str,
    y_label: str,
    lines: Sequence[Line],
    levels: Sequence[Level],
    form: Format,
    last_step: float,
    marks: Sequence[Event] = (),
    axis: Axis = STEPS,
) -> str:
    """A chart from 0 to ``last_step`` as an ``<svg>``; the lines must hold a point between them."""
    values = [y for line in lines for _, y in line.points] + [level.value for level in levels]
    values += [end for line in lines for ends in line.band for end in ends]
    y_ticks = nice_ticks(min(0.0, *values), max(values), 5)
    last = max(last_step, 1)
    scale = Scale(TWO_ROWS if axis.second else FRAME, (0.0, last), (y_ticks[0], y_ticks[-1]))
    x_ticks = [(tick, axis.form(tick)) for tick in inner_ticks(last, 6)]
    parts = [axes(scale, x_ticks, [(tick, form(tick)) for tick in y_ticks], axis.label, y_label, axis.second)]
    parts += [_level(level, scale) for level in levels]
    parts += [_band(line, scale) for line in lines]
    parts += [_line(line, scale) for line in lines]
    parts.append(_hover_strips(lines, scale, form, axis))
    parts += [_mark(mark, scale) for mark in marks[:_MAX_MARKS]]
    return drawing(scale.frame, f"{title}: {y_label} over {axis.label}", parts)


def small_chart(line: Line, form: Format, last_step: float) -> str:
    """A small chart of one line on a scale of its own, to stand among others like it."""
    y_ticks = nice_ticks(min(0.0, *(y for _, y in line.points)), max(y for _, y in line.points), 2)
    last = max(last_step, 1)
    scale = Scale(SMALL, (0.0, last), (y_ticks[0], y_ticks[-1]))
    ends = [(0.0, "0"), (last, f"{last:g}")]
    parts = [axes(scale, ends, [(tick, form(tick)) for tick in y_ticks], "", ""), _line(line, scale)]
    return drawing(SMALL, f"{line.name} over training steps", parts)


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
    keys = [(f"key {'' if line.is_noisy or line.is_plain else 'dotted'} {line.colour}", line.name) for line in lines]
    keys += [("key level", level.name) for level in levels]
    return '<p class="legend">' + "".join(f'<span class="{kind}">{escape(name)}</span>' for kind, name in keys) + "</p>"


def moving_average(points: Points) -> Points:
    """Centred mean over a twentieth of the points on either side, less near the ends."""
    reach = len(points) // 20
    sums = [0.0, *accumulate(y for _, y in points)]
    averages: list[tuple[float, float]] = []
    for i, (x, _) in enumerate(points):
        first, last = max(0, i - reach), min(len(points), i + reach + 1)
        averages.append((x, (sums[last] - sums[first]) / (last - first)))
    return tuple(averages)


def thinned(points: Points, limit: int) -> Points:
    """At most ``limit`` points, each the mean of its neighbours."""
    size = math.ceil(len(points) / limit)
    if size <= 1:
        return points
    chunks = [points[i : i + size] for i in range(0, len(points), size)]
    return tuple((fmean(x for x, _ in chunk), fmean(y for _, y in chunk)) for chunk in chunks)


def _level(level: Level, scale: Scale) -> str:
    y, right = f"{scale.y(level.value):.1f}", scale.frame.width - scale.frame.right
    at = f'x="{right}" y="{y}" dy="-4" text-anchor="end"'
    return (
        f'<line class="level" x1="{scale.frame.left}" x2="{right}" y1="{y}" y2="{y}"/>'
        f'<text class="level-name" {at}>{escape(level.name)}</text>'
    )


def _band(line: Line, scale: Scale) -> str:
    """The interval of a line: an area, or a whisker where there is one point."""
    if not line.band:
        return ""
    if len(line.points) == 1:
        x, (low, high) = f"{scale.x(line.points[0][0]):.1f}", line.band[0]
        ends = f'x1="{x}" x2="{x}" y1="{scale.y(low):.1f}" y2="{scale.y(high):.1f}"'
        return f'<line class="whisker {line.colour}" {ends}/>'
    lows, highs = (
        thinned(tuple((x, ends[side]) for (x, _), ends in zip(line.points, line.band, strict=True)), _MAX_DRAWN // 2)
        for side in (0, 1)
    )
    edge = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in (*highs, *reversed(lows)))
    return f'<polygon class="band {line.colour}" points="{edge}"/>'


def _line(line: Line, scale: Scale) -> str:
    if line.is_plain and len(line.points) > 1:
        return _path(thinned(line.points, _MAX_DRAWN // 2), f"curve {line.colour}", scale)
    if not line.is_noisy or len(line.points) < _SMOOTHED_FROM:
        dots = "".join(
            f'<circle class="dot {line.colour}" cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3.5"/>'
            for x, y in thinned(line.points, _MAX_DRAWN)
        )
        return f"{_path(thinned(line.points, _MAX_DRAWN), f'curve {line.colour}', scale)}{dots}"
    raw = _path(thinned(line.points, _MAX_DRAWN), f"curve raw {line.colour}", scale)
    return raw + _path(thinned(moving_average(line.points), _MAX_DRAWN), f"curve {line.colour}", scale)


def _path(points: Points, kind: str, scale: Scale) -> str:
    drawn = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{drawn}"/>'


def _mark(mark: Event, scale: Scale) -> str:
    """A vertical line with a flag; a strip around it, wide enough to point at, tells what it was."""
    frame, x = scale.frame, scale.x(mark.step)
    bottom = frame.height - frame.bottom
    flag = f"M{x - 5:.1f} {frame.top - 8}h10l-5 8z"
    return (
        f'<g class="event {mark.kind}"><title>{escape(f"{mark.kind} at step {mark.step:g}: {mark.text}")}</title>'
        f'<rect class="hover" x="{x - 5:.1f}" width="10" y="{frame.top - 8}" height="{bottom - frame.top + 8}"/>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{bottom}"/><path d="{flag}"/></g>'
    )


def _hover_strips(lines: Sequence[Line], scale: Scale, form: Format, axis: Axis) -> str:
    """Invisible columns that tell, under the pointer, every line's value there."""
    places = sorted({x for line in lines for x, _ in line.points})
    xs = [[x for x, _ in line.points] for line in lines]
    size = math.ceil(len(places) / _MAX_HOVERED)
    firsts = places[::size]
    frame = scale.frame
    edges = [frame.left, *(fmean(pair) for pair in pairwise(map(scale.x, firsts))), frame.width - frame.right]
    strips: list[str] = []
    for i, first in enumerate(firsts):
        last = places[min((i + 1) * size, len(places)) - 1]
        told = [axis.told(first, last)]
        for line, at in zip(lines, xs, strict=True):
            inside = slice(bisect_left(at, first), bisect_right(at, last))
            values = [y for _, y in line.points[inside]]
            told += [_told(line, inside, fmean(values), form)] if values else []
        strips.append(_strip(frame, edges[i], edges[i + 1], chr(10).join(told)))
    return "".join(strips)


def _told(line: Line, inside: slice, mean: float, form: Format) -> str:
    """A line's value under the pointer, with its interval if it is of one point that has one."""
    band = line.band[inside]
    ends = f" ({form(band[0][0])} to {form(band[0][1])})" if len(band) == 1 else ""
    return f"{line.name}: {form(mean)}{ends}"


def _strip(frame: Frame, left: float, right: float, told: str) -> str:
    width, height = max(right - left, 0.5), frame.height - frame.top - frame.bottom
    box = f'x="{left:.1f}" width="{width:.1f}" y="{frame.top}" height="{height}"'
    return f'<rect class="hover" {box}><title>{escape(told)}</title></rect>'
