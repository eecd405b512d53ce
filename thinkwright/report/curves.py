"""The overview: the curves of a run in four groups, each with what it means and what is healthy, alarms marked."""

from collections.abc import Callable
from statistics import fmean

from thinkwright.report import curves_learning, curves_speed, curves_stability, curves_thinking
from thinkwright.report.charts import Level, Line, legend, line_chart, small_chart
from thinkwright.report.curves_form import Curve, Group, Source, kinds_of
from thinkwright.report.series import Event, Run
from thinkwright.report.text import escape, number

GROUPS = (
    Group("learning", "Learning", "Does it get better, and at what?", curves_learning.CURVES),
    Group("thinking", "Thinking", "Does it think longer, and go back over its work?", curves_thinking.CURVES),
    Group(
        "stability",
        "Stability",
        "Is training sound, and is there anything left to learn from?",
        curves_stability.CURVES,
    ),
    Group("speed", "Speed", "Where does the time go?", curves_speed.CURVES),
)
"""The charts of the overview; a new one goes into the file of its group."""
_ENDS = 5  # noisy steps averaged to tell where a curve starts and ends
_SHOWN_EVENTS = 50


def curves_section(run: Run) -> str:
    """What went wrong, then all charts that have data by group, then the names of those that have none."""
    kinds, absent, parts = kinds_of(run), list[str](), list[str]()
    for group in GROUPS:
        drawn: list[str] = []
        for curve in (curve for curve in group.curves if kinds.intersection(curve.stages)):
            chart = "" if _is_meaningless(curve, run) else figure(curve, run)
            drawn += [chart] if chart else []
            absent += [] if chart or curve.is_optional else [curve.title]
        if drawn:
            head = f'<h3 class="chart-group" id="{group.anchor}">{group.title}</h3><p>{group.question}</p>'
            parts.append(f'{head}<div class="charts">{"".join(drawn)}</div>')
    told = f'<p class="aside">Not measured in this run: {escape(", ".join(absent).lower())}.</p>' if absent else ""
    return f"{_how_to_read(run) if parts else ''}{_event_list(run.events)}{''.join(parts)}{told}"


def figure(curve: Curve, run: Run) -> str:
    """A chart with its heading, what it means and what is healthy; nothing without data."""
    lines = [line for source in curve.found(run) if (line := line_of(source, run)).points]
    if not lines:
        return ""
    form = share if curve.is_share else number
    levels = _levels(run) if curve.title == "Held-out accuracy" else []
    told = f"<h3>{escape(curve.title)}</h3><p>{escape(curve.meaning + _told(curve, lines, form, run))}</p>"
    caption = f'<figcaption>{told}<p class="healthy">{escape(curve.healthy)}</p></figcaption>'
    if curve.is_split:
        cells = "".join(
            f"<div><b>{escape(line.name)}</b>{small_chart(line, form, run.last_step)}</div>" for line in lines
        )
        return f'<figure class="wide">{caption}<div class="multiples">{cells}</div></figure>'
    chart = line_chart(curve.title, curve.y_label, lines, levels, form, run.last_step, run.events)
    return f"<figure>{caption}{legend(lines, []) if len(lines) > 1 else ''}{chart}</figure>"


def line_of(source: Source, run: Run) -> Line:
    """A line of a chart with the values it has in this run."""
    if source.kind == "trained":
        return Line(source.name, run.trained(source.key), source.colour)
    points, band = run.held_out(source.key), run.held_out_band(source.key)
    return Line(source.name, points, source.colour, is_noisy=False, band=band)


def share(value: float) -> str:
    """A share between 0 and 1 as a percentage of three digits."""
    return f"{number(100 * value)}%"


def _how_to_read(run: Run) -> str:
    flags = " Flags mark alarms; point at one to read it." if run.events else ""
    return (
        '<p class="aside">Thin lines are single steps, thick ones their moving average, dots held-out evaluations, '
        f"shaded bands 95% intervals. Point at a chart to read its values.{flags}</p>"
    )


def _event_list(events: tuple[Event, ...]) -> str:
    """Alarms and the guard's stop, each with its step and first line."""
    if not events:
        return ""
    items = "".join(
        f'<li class="{escape(event.kind)}"><b>Step {event.step:g}, {escape(event.kind)}:</b> {escape(event.text)}</li>'
        for event in events[:_SHOWN_EVENTS]
    )
    more = f"<p>And {len(events) - _SHOWN_EVENTS:,} more in events.jsonl.</p>" if len(events) > _SHOWN_EVENTS else ""
    return f'<h3 class="chart-group" id="alarms">Alarms</h3><ol class="events">{items}</ol>{more}'


def _is_meaningless(curve: Curve, run: Run) -> bool:
    """KL without a reference model is recorded as 0 and means nothing."""
    return curve.title == "Distance from the reference model" and run.setting("algorithm.kl_coef") == 0


def _levels(run: Run) -> list[Level]:
    names = {"bare": "base, answering at once", "forced": "base, step by step"}
    found = {name: run.baselines.get(kind, {}).get("accuracy") for kind, name in names.items()}
    return [Level(name, value) for name, value in found.items() if value is not None]


def _told(curve: Curve, lines: list[Line], form: Callable[[float], str], run: Run) -> str:
    """The sentence's second half: the last line's first and last value; of small charts nothing."""
    if curve.is_split:
        return "."
    line = lines[-1]
    first, last = _ends(line)
    if len(line.points) == 1:
        return f"; {line.name}: {form(first)} so far."
    return f"; {line.name}: {form(first)} at first, {form(last)} {'at the end' if run.is_finished else 'so far'}."


def _ends(line: Line) -> tuple[float, float]:
    count = _ENDS if line.is_noisy and len(line.points) >= 4 * _ENDS else 1
    values = [y for _, y in line.points]
    return fmean(values[:count]), fmean(values[-count:])
