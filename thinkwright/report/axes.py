"""From data to places on a drawing: round ticks, scales, axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinkwright.report.text import escape

Format = Callable[[float], str]
Tick = tuple[float, str]

WIDTH, HEIGHT = 460, 250
_HALF_CHARACTER = 3.5  # of a tick's name, in SVG units


@dataclass(frozen=True)
class Frame:
    """Size of a drawing and the margins around its plot, in SVG units."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


FRAME = Frame(WIDTH, HEIGHT, left=50, right=14, top=26, bottom=40)
TWO_ROWS = Frame(WIDTH, HEIGHT + 16, left=50, right=14, top=26, bottom=56)
"""For a second row of ticks."""
SMALL = Frame(220, 120, left=46, right=12, top=10, bottom=20)


@dataclass(frozen=True)
class Scale:
    """Data to SVG coordinates. Values outside are drawn at the edge."""

    frame: Frame
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    is_log: bool = False
    """The horizontal axis is logarithmic; its ends are above 0."""

    def x(self, value: float) -> float:
        low, high = self.x_ends
        clamped = min(max(value, low), high)
        share = math.log(clamped / low) / math.log(high / low) if self.is_log else (clamped - low) / (high - low)
        return self.frame.left + share * (self.frame.width - self.frame.left - self.frame.right)

    def y(self, value: float) -> float:
        low, high = self.y_ends
        clamped = min(max(value, low), high)
        plot = self.frame.height - self.frame.top - self.frame.bottom
        return self.frame.height - self.frame.bottom - (clamped - low) / (high - low) * plot


def nice_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About ``count`` round values whose ends enclose ``low`` and ``high``."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * base for factor in (1, 2, 2.5, 5, 10) if factor * base >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(i * step for i in range(first, max(last, first + 1) + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of 10 with their halves and fifths between ``low`` and ``high`` (above 0); of a wide span powers alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    return tuple(
        factor * 10.0**power
        for power in range(first, last + 1)
        for factor in factors
        if low <= factor * 10.0**power <= high
    )


def inner_ticks(last: float, count: int) -> tuple[float, ...]:
    """About ``count`` round values from 0 that do not pass ``last``."""
    return tuple(tick for tick in nice_ticks(0, last, count) if tick <= last)


def axes(
    scale: Scale,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    x_label: str,
    y_label: str,
    second: Sequence[Tick] = (),
) -> str:
    """Grid, ticks and names of both axes. ``second``: another row of ticks under the first."""
    frame = scale.frame
    bottom, right = frame.height - frame.bottom, frame.width - frame.right
    parts = [f'<text class="label" x="{frame.left - 42}" y="14">{escape(y_label)}</text>'] if y_label else []
    for value, name in y_ticks:
        y = f"{scale.y(value):.1f}"
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{frame.left - 7}" y="{y}" dy="4" text-anchor="end">{escape(name)}</text>')
    parts += [_column(scale, value, name, 0) for value, name in x_ticks]
    parts += [_column(scale, value, name, 1) for value, name in second]
    parts.append(f'<line class="axis" x1="{frame.left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    if x_label:
        parts.append(
            f'<text class="label" x="{right}" y="{frame.height - 6}" text-anchor="end">{escape(x_label)}</text>'
        )
    return "".join(parts)


def _column(scale: Scale, value: float, name: str, row: int) -> str:
    """A tick of the horizontal axis; one of the second row has its name alone. A long name stays within the drawing."""
    x, bottom = scale.x(value), scale.frame.height - scale.frame.bottom
    anchor = "end" if x + _HALF_CHARACTER * len(name) > scale.frame.width else "middle"
    mark = f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>' if row == 0 else ""
    place = f'x="{x if anchor == "middle" else scale.frame.width - 2:.1f}" y="{bottom + 17 + 15 * row}"'
    return f'{mark}<text class="tick" {place} text-anchor="{anchor}">{escape(name)}</text>'


def drawing(frame: Frame, label: str, parts: Sequence[str]) -> str:
    """The ``<svg>`` around the parts of a chart; ``label`` says to those who cannot see it what it shows."""
    return (
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
