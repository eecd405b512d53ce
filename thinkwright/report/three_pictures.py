"""The three pictures of the article on thinking models, for this run.

Accuracy against train-time compute, accuracy against test-time compute, and response length over training. A picture
whose data is not there is left out, and how to get it is said.
"""

import math
import shlex
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter, ValidationError

from thinkwright.config.suites import SUITES
from thinkwright.evaluation.scaling import ScalingFit, fit_scaling
from thinkwright.report.axes import inner_ticks
from thinkwright.report.charts import Axis, Line, legend, line_chart
from thinkwright.report.charts_scatter import Dot, Plateau, kinds_legend, scatter_chart
from thinkwright.report.curves import figure, line_of, share
from thinkwright.report.curves_learning import ONE_RESPONSE, of_several
from thinkwright.report.curves_thinking import CURVES as THINKING
from thinkwright.report.series import Run
from thinkwright.report.several_samples import several_samples
from thinkwright.report.text import compact, escape, number, percent

_STRATEGIES = {
    "budget": "thinking budget", "wait": "budget, then Wait", "vote": "majority vote", "best_of": "best of several",
}  # fmt: skip
_X_LABEL = "tokens a question"


@dataclass(frozen=True)
class _Level:
    """What a point comes to on the questions of one level."""

    accuracy: float
    mean_tokens: float


@dataclass(frozen=True)
class _Point:
    """One way to spend tokens, measured."""

    strategy: str
    label: str
    mean_tokens: float
    accuracy: float
    low: float
    high: float
    on_frontier: bool
    by_level: dict[str, _Level] = field(default_factory=dict[str, _Level])


@dataclass(frozen=True)
class _Fit:
    formula: str
    plateau: float
    plateau_low: float
    plateau_high: float
    stops_rising_at: float


@dataclass(frozen=True)
class _TestTime:
    """What a ``test_time.json`` of ``thinkwright eval`` holds."""

    model: str
    suite: str
    points: tuple[_Point, ...]
    levels: dict[str, Any] = field(default_factory=dict[str, Any])
    fit: _Fit | None = None


_TEST_TIME = TypeAdapter(_TestTime)


def pictures_section(run: Run) -> str:
    """The pictures there is data for, then what is missing of them and how to get it; nothing without any."""
    train, (test, missing) = _train_time(run), _test_time(run)
    length = next(figure(curve, run) for curve in THINKING if curve.title == "Response length")
    if not (train or test or length):
        return ""
    lacking = [] if train else ["Accuracy against train-time compute takes two held-out evaluations of an RL run."]
    told = "".join(f'<p class="aside">{escape(line)}</p>' for line in (*lacking, *missing))
    intro = (
        "<p>By these, articles on thinking models show that thought pays: in training, in use, and by its length.</p>"
    )
    return f'{intro}<div class="charts">{train}{length}{test}{several_samples(run)}</div>{told}'


def _train_time(run: Run) -> str:
    """Accuracy over the tokens sampled so far, by step below; nothing without two evaluations to tell them of."""
    tokens = run.tokens_before()
    if len(run.evaluations) < 2 or not tokens:
        return ""
    step_at = {count: step for step, count in tokens.items()}
    lines: list[Line] = []
    for source in of_several(run) or [ONE_RESPONSE]:
        line = line_of(source, run)
        if all(step in tokens for step, _ in line.points):
            points = tuple((tokens[int(step)], value) for step, value in line.points)
            lines.append(Line(line.name, points, line.colour, is_noisy=False, band=line.band))
    if not lines:
        return ""
    fit = _scaling(run)
    if fit is not None:
        lines.append(_fitted_line(fit))
    last = max(tokens)
    ticks = [tick for tick in inner_ticks(last, 5) if tick in tokens]
    axis = Axis(
        "tokens sampled in training",
        compact,
        lambda first, _: f"{compact(first)} tokens, step {step_at.get(first, 0):,}",
        tuple((tokens[int(tick)], f"step {tick:g}") for tick in ticks),
    )
    chart = line_chart(
        "Accuracy against train-time compute", "right answers", lines, [], share, tokens[last], axis=axis
    )
    told = (
        "Accuracy on held-out questions over all the tokens that were sampled to learn from, with 95% bands. In "
        "published runs it rises steadily with the logarithm of compute."
    )
    told += f" {_foretold(fit)}" if fit is not None else ""
    names = legend(lines, []) if len(lines) > 1 else ""
    return _figure("Accuracy against train-time compute", told, f"{names}{chart}")


def _scaling(run: Run) -> ScalingFit | None:
    """Right answers to training questions against the tokens sampled so far, fitted; None if that says nothing."""
    rows = [row for row in run.metrics if "reward/accuracy" in row and "rollout/tokens" in row]
    spent = list(accumulate(row["rollout/tokens"] for row in rows))
    return fit_scaling(spent, [row["reward/accuracy"] for row in rows])


def _fitted_line(fit: ScalingFit) -> Line:
    points = tuple((fit.spent * i / 100, fit.at(fit.spent * i / 100)) for i in range(1, 101))
    return Line("training questions, fitted", points, "train-3", is_noisy=False, is_plain=True)


def _foretold(fit: ScalingFit) -> str:
    """The plateau with its interval, and whether more compute will help."""
    plateau = f"{percent(fit.plateau)} ({percent(fit.plateau_low)} to {percent(fit.plateau_high)})"
    verdict = {
        "yes": f"more of the same will help: twice as much would come to {percent(fit.at(2 * fit.spent))}",
        "no": "more of the same will hardly help",
        "open": "whether more would help this run cannot tell",
    }[fit.verdict()]
    return f"Fitted to the training questions, right answers level off at {plateau}; {verdict}."


def _how_measured(run: Run) -> str:
    """By a command, or, where the run's questions are no suite, on suites alone."""
    task = run.setting("task", {})
    parts = [part["task"] for part in task.get("parts", [{"task": task}])]
    if task and not any(part.get("name", part.get("type")) in SUITES for part in parts):
        told = 'a recipe of type = "evaluate" measures models on them, without thinking budgets (docs/evaluation.md)'
        return f"on suites, and this run's questions are none; {told}."
    return f"by: thinkwright eval {shlex.quote(str(run.folder))} --suite NAME --test-time"


def _test_time(run: Run) -> tuple[str, list[str]]:
    """Accuracy over the tokens spent on a question, and what is missing for it."""
    if not run.test_time:
        return "", [f"Accuracy against test-time compute is measured {_how_measured(run)}"]
    charts, missing = "", list[str]()
    for row in run.test_time:
        try:
            found = _TEST_TIME.validate_python(row)
        except ValidationError as error:
            key = ".".join(map(str, error.errors(include_url=False)[0]["loc"])) or "the whole"
            missing.append(f"A test_time.json in eval/ could not be read ({key}) and is left out; measure it again.")
            continue
        points = [point for point in found.points if point.mean_tokens > 0 and _is_finite(point)]
        if points:
            charts += _scatter(found, points)
        else:
            missing.append(f"test_time.json of {found.model} on {found.suite} holds no points; measure it again.")
    return charts, missing


def _is_finite(point: _Point) -> bool:
    return all(map(math.isfinite, (point.mean_tokens, point.accuracy, point.low, point.high)))


def _scatter(found: _TestTime, points: list[_Point]) -> str:
    kinds = list(dict.fromkeys(point.strategy for point in points))
    dots = [
        Dot(
            point.mean_tokens,
            point.accuracy,
            kinds.index(point.strategy),
            f"{point.label}\n{share(point.accuracy)} ({share(point.low)} to {share(point.high)})\n"
            f"{point.mean_tokens:,.0f} tokens a question",
            (point.low, point.high),
        )
        for point in points
    ]
    frontier = tuple(sorted((point.mean_tokens, point.accuracy) for point in points if point.on_frontier))
    ends = _ends(points)
    plateau = None
    fit = found.fit
    if fit is not None and all(map(math.isfinite, (fit.plateau, fit.plateau_low, fit.plateau_high))):
        plateau = Plateau(fit.plateau, fit.plateau_low, fit.plateau_high, fit.stops_rising_at)
    title, labels = "Accuracy against test-time compute", (_X_LABEL, "right answers")
    chart = scatter_chart(title, dots, share, ends, labels, frontier, plateau)
    told = (
        f"Accuracy of {found.model} on {found.suite} over the mean tokens spent on a question, by how they are spent; "
        f"the frontier joins what nothing cheaper beats.{_told(found.fit)}"
    )
    names = kinds_legend([_STRATEGIES.get(kind, kind.replace("_", " ")) for kind in kinds], bool(frontier))
    return _figure(title, told, f"{names}{chart}{_by_level(found, points, kinds, ends)}", is_wide=True)


def _told(fit: _Fit | None) -> str:
    if fit is None:
        return ""
    return (
        f" Fitted: {fit.formula}; the plateau is {percent(fit.plateau)} ({percent(fit.plateau_low)} to "
        f"{percent(fit.plateau_high)}), and accuracy stops rising at {number(fit.stops_rising_at)} tokens."
    )


def _by_level(found: _TestTime, points: list[_Point], kinds: list[str], ends: tuple[float, float]) -> str:
    """A small chart a level, all on the same axes, so that too much and too little thought stand out."""
    names = sorted({name for point in points for name in point.by_level}, key=lambda name: (len(name), name))
    names = [name for name in found.levels if name in names] + [name for name in names if name not in found.levels]
    cells: list[str] = []
    for name in names:
        dots = [
            Dot(
                level.mean_tokens,
                level.accuracy,
                kinds.index(point.strategy),
                f"{point.label}\n{share(level.accuracy)}\n{level.mean_tokens:,.0f} tokens a question",
            )
            for point in points
            if (level := point.by_level.get(name)) is not None
            and level.mean_tokens > 0
            and math.isfinite(level.accuracy)
        ]
        if dots:
            chart = scatter_chart(f"Level {name}", dots, share, ends, (_X_LABEL, "right answers"), is_small=True)
            cells.append(f"<div><b>Level {escape(name)}</b>{chart}</div>")
    told = (
        "<p class=aside>By level: where accuracy falls again, the model thinks too much; where it still rises at the "
        "end, too little.</p>"
    )
    return f'{told}<div class="multiples">{"".join(cells)}</div>' if cells else ""


def _ends(points: list[_Point]) -> tuple[float, float]:
    """Ends of the horizontal axis, those of the levels within."""
    counts = [point.mean_tokens for point in points]
    counts += [level.mean_tokens for point in points for level in point.by_level.values() if level.mean_tokens > 0]
    return min(counts) / 1.25, max(counts) * 1.25


def _figure(title: str, told: str, body: str, is_wide: bool = False) -> str:
    kind = ' class="wide"' if is_wide else ""
    return f"<figure{kind}><figcaption><h3>{escape(title)}</h3><p>{escape(told)}</p></figcaption>{body}</figure>"
