"""The overview's charts for several recipes: a line each, a band where there are several seeds."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from thinkwright.report.charts import Line, legend, line_chart, moving_average, thinned
from thinkwright.report.compare_groups import RunGroup
from thinkwright.report.curves import GROUPS, share
from thinkwright.report.curves_form import Curve, Source, kinds_of
from thinkwright.report.series import Points, Run
from thinkwright.report.text import escape, number

_ALL_POINTS = 600  # of one chart's lines together, so that a page of many recipes stays small
_FEWEST_POINTS = 20

HOW_TO_READ = (
    "A line is the mean over a recipe's seeds, of training metrics after a moving average, at the steps that all of "
    "them have; its band reaches from the lowest seed to the highest. Of a recipe with one run, held-out figures have "
    "their 95% interval as a band. Point at a chart to read its values."
)


def charts_section(groups: Sequence[RunGroup]) -> str:
    """Every chart that has data, by the overview's groups."""
    runs = [run for group in groups for run in group.runs]
    kinds = {kind for run in runs for kind in kinds_of(run)}
    seen: set[str] = set()
    parts: list[str] = []
    for of in GROUPS:
        drawn = [
            chart
            for curve in of.curves
            if kinds.intersection(curve.stages)
            for chart in _charts(curve, groups, runs, seen)
        ]
        if drawn:
            head = f'<h3 class="chart-group" id="{of.anchor}">{of.title}</h3><p>{of.question}</p>'
            parts.append(f'{head}<div class="charts">{"".join(drawn)}</div>')
    return f'<p class="aside">{HOW_TO_READ}</p>{"".join(parts)}' if parts else ""


def mean_line(group: RunGroup, source: Source, limit: int) -> Line:
    """A recipe's line of one metric or figure, of at most ``limit`` points; without points if no run has it."""
    found = [points for run in group.runs if (points := _points(source, run))]
    if not found:
        return Line(group.label, (), group.colour)
    points, band = (found[0], _own_band(group, source)) if len(found) == 1 else _mean(found)
    line = Line(group.label, points, group.colour, is_noisy=False, band=band, is_plain=source.kind == "trained")
    # Both ends of a band are averaged over the same neighbours as the points.
    return replace(line, points=thinned(points, limit), band=thinned(band, limit))


def _mean(found: Sequence[Points]) -> tuple[Points, Points]:
    """Mean over the seeds at the steps that all of them have, and from where to where they reach."""
    values = [dict(points) for points in found]
    steps = sorted(set.intersection(*(set(known) for known in values)))
    at = [[known[step] for known in values] for step in steps]
    points = tuple((step, fmean(seeds)) for step, seeds in zip(steps, at, strict=True))
    return points, tuple((min(seeds), max(seeds)) for seeds in at)


def _own_band(group: RunGroup, source: Source) -> Points:
    """The 95 % intervals of a recipe that has one run with the figure."""
    if source.kind == "trained":
        return ()
    return next((run.held_out_band(source.key) for run in group.runs if run.held_out(source.key)), ())


def _charts(curve: Curve, groups: Sequence[RunGroup], runs: Sequence[Run], seen: set[str]) -> list[str]:
    """A chart for each of the curve's lines that some recipe has and that was not ``seen`` in an earlier curve."""
    found = {f"{source.kind} {source.key}": source for run in runs for source in curve.found(run)}
    sources = [source for name, source in found.items() if name not in seen]
    seen.update(found)
    limit = max(_FEWEST_POINTS, _ALL_POINTS // len(groups))
    drawn: list[tuple[Source, list[Line]]] = []
    for source in sources:
        lines = [line for group in groups if (line := mean_line(group, source, limit)).points]
        drawn += [(source, lines)] if lines else []
    form = share if curve.is_share else number
    last_step = max(run.last_step for run in runs)
    charts: list[str] = []
    for source, lines in drawn:
        title = curve.title if len(drawn) == 1 else f"{curve.title}: {source.name}"
        told = f'<p>{escape(curve.meaning)}.</p><p class="healthy">{escape(curve.healthy)}</p>'
        chart = line_chart(title, curve.y_label, lines, [], form, last_step)
        charts.append(
            f"<figure><figcaption><h3>{escape(title)}</h3>{told}</figcaption>{legend(lines, [])}{chart}</figure>"
        )
    return charts


def _points(source: Source, run: Run) -> Points:
    return moving_average(run.trained(source.key)) if source.kind == "trained" else run.held_out(source.key)
