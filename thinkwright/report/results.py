"""Before and after in figures: the whole, by family, by level. Length stands beside accuracy everywhere."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from thinkwright.report.charts import strip
from thinkwright.report.series import Row, Run
from thinkwright.report.text import ARROW, MISSING, escape, percent, signed, tokens


class Figure(NamedTuple):
    """A row of the result table."""

    name: str
    meaning: str
    key: str
    form: Callable[[float | None, int], str]
    better: int
    """1 if more is better, -1 if less is, 0 if neither."""


FIGURES = (
    Figure("Right answers", "share of held-out questions answered right (accuracy)", "accuracy", percent, 1),
    Figure("Form kept", "thought and answer told apart in the form asked for (format rate)", "format_rate", percent, 1),
    Figure("Length", "tokens (word pieces) in a response, on average", "mean_response_tokens", tokens, 0),
    Figure("Self-checking", "responses with words like wait, check (reflection rate)", "reflection_rate", percent, 0),
    Figure("Cut off", "responses that reached the length limit (truncated rate)", "truncated_rate", percent, -1),
    Figure("One language", "share of the thought in the question's language", "language_consistency", percent, 1),
)


class Comparison(NamedTuple):
    """One row of a table by family or by level; shares between 0 and 1, tokens as means, None where unknown."""

    name: str
    before: float | None
    after: float | None
    bare: float | None
    forced: float | None
    tokens_before: float | None
    tokens_after: float | None


def tiles(run: Run) -> str:
    """The figures that carry the story, large."""
    before, after = run.before, run.after
    shown = [figure for figure in FIGURES[:4] if before.get(figure.key) is not None]
    cells = [
        f'<div class="tile"><span class="tile-name">{escape(figure.name)}</span>'
        f'<span class="tile-value"><span class="was">{_short(figure, before)}</span>{_now(figure, after)}</span>'
        f'<span class="tile-meaning">{escape(figure.meaning)}</span></div>'
        for figure in shown
    ]
    return f'<div class="tiles">{"".join(cells)}</div>' if cells else ""


def _now(figure: Figure, after: Row) -> str:
    return f'<span class="arrow">{ARROW}</span><span class="is">{_short(figure, after)}</span>' if after else ""


def result_section(run: Run) -> str:
    """The result table, then accuracy and length by family and by level."""
    if not run.before:
        return "<p>No held-out evaluation has been made, so there is no result yet.</p>"
    families, levels = _by(run, "family"), _by(run, "level")
    parts = [_result_table(run)]
    if len(families) > 1:
        parts += ["<h3>By kind of question</h3>", _gains(families[1:]), _comparison_table(run, "kind", families)]
    if len(levels) > 1:
        parts += ["<h3>By difficulty</h3>", _comparison_table(run, "level", levels)]
    if run.baselines and (families or levels):
        parts.append(
            '<p class="aside">The two marks in grey are the base model before training, made to begin its response '
            "in a given way: answering at once, or going step by step. The gap between them is what thinking is worth "
            "to the base.</p>"
        )
    return "\n".join(parts)


def _result_table(run: Run) -> str:
    before, after = run.before, run.after
    rows: list[str] = []
    for figure in FIGURES:
        old, new = before.get(figure.key), after.get(figure.key)
        if old is None and new is None:
            continue
        change = None if old is None or new is None else new - old
        scale = 100 if figure.form is percent else 1
        shown = signed(None if change is None else scale * change)
        rows.append(
            f"<tr><th scope=row>{escape(figure.name)}<small>{escape(figure.meaning)}</small></th>"
            f"<td>{_with_interval(figure, before)}</td>"
            + (f"<td>{_with_interval(figure, after)}</td>" if after else "")
            + (f'<td class="{_judged(change, figure.better)}">{shown}</td></tr>' if after else "</tr>")
        )
    head = f"<tr><td></td><th>{_before_name(run)}</th>"
    head += f"<th>{_after_name(run)}</th><th>Change</th></tr>" if after else "</tr>"
    table = f'<table class="result"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>{_sampling(run)}'


def _sampling(run: Run) -> str:
    """How the figures were measured."""
    settings = run.before.get("settings") or {}
    if not settings:
        return ""
    keys = ("num_questions", "samples_per_question", "temperature", "max_response_tokens")
    questions, samples, temperature, limit = (escape(settings.get(key, MISSING)) for key in keys)
    return (
        f'<p class="aside">Measured on {questions} held-out questions, {samples} responses each, sampled at '
        f"temperature {temperature}, at most {limit} tokens, the same before and after. "
        "\N{PLUS-MINUS SIGN} is the 95% interval.</p>"
    )


def _gains(rows: list[Comparison]) -> str:
    """Where most and least was gained."""
    known = [(row.before, row.after, row.name) for row in rows]
    gains = sorted((new - old, name) for old, new, name in known if old is not None and new is not None)
    if len(gains) < 2:
        return ""
    (least, worst), (most, best) = gains[0], gains[-1]
    return (
        f"<p>Most gained: {escape(best)} ({signed(100 * most, 0)} points). "
        f"Least: {escape(worst)} ({signed(100 * least, 0)} points).</p>"
    )


def _comparison_table(run: Run, what: str, rows: list[Comparison]) -> str:
    has_baselines = bool(run.baselines)
    base = "<th class=base>Base, at once</th><th class=base>Base, step by step</th>" if has_baselines else ""
    after = _after_name(run)
    head = (
        f"<tr><th scope=col>{escape(what.capitalize())}</th><th class=wide>{_strip_axis()}</th>{base}"
        f"<th>Before</th><th>{after}</th><th class=tokens>Tokens</th></tr>"
    )
    body = "".join(_comparison_row(row, has_baselines, after) for row in rows)
    names = {"key-dot before": "before", "key-dot after": after.lower()}
    if has_baselines:
        names |= {"key-tick bare": "base, at once", "key-tick forced": "base, step by step"}
    keys = "".join(f'<span class="{kind}">{name}</span>' for kind, name in names.items())
    return (
        f'<p class="legend">Right answers: {keys}</p><div class="scroll"><table class="comparison">'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def _comparison_row(row: Comparison, has_baselines: bool, after: str) -> str:
    marks = (
        ("bare", row.bare, "base, at once"),
        ("forced", row.forced, "base, step by step"),
        ("before", row.before, "before"),
        ("after", row.after, after.lower()),
    )
    told = ", ".join(f"{name} {percent(value, 0)}" for _, value, name in marks if value is not None)
    base = "".join(f"<td class=base>{percent(share, 0)}</td>" for share in (row.bare, row.forced) if has_baselines)
    return (
        f"<tr><th scope=row>{escape(row.name)}</th><td class=wide>{strip(marks, f'{row.name}: {told}')}</td>{base}"
        f"<td>{percent(row.before, 0)}</td><td><b>{percent(row.after, 0)}</b></td>"
        f"<td class=tokens>{tokens(row.tokens_before, 0)} {ARROW} {tokens(row.tokens_after, 0)}</td></tr>"
    )


def _strip_axis() -> str:
    texts = "".join(
        f'<text class="{anchor}" x="{x}%" y="12" text-anchor="{anchor}">{x}%</text>'
        for x, anchor in ((0, "start"), (50, "middle"), (100, "end"))
    )
    return f'<svg class="strip-axis" aria-hidden="true">{texts}</svg>'


def _by(run: Run, what: str) -> list[Comparison]:
    """Rows by ``family`` or ``level``, the whole first."""
    before, after = run.before, run.after
    bare, forced = run.baselines.get("bare") or {}, run.baselines.get("forced") or {}
    ends = ((before, run.evaluations[:1]), (after, run.evaluations[1:][-1:]))
    lengths = [figures.get(f"tokens_by_{what}") or _tokens_by(evaluations, what) for figures, evaluations in ends]
    whole = [
        *(figures.get("accuracy") for figures in (before, after, bare, forced)),
        *(figures.get("mean_response_tokens") for figures in (before, after)),
    ]
    key = f"accuracy_by_{what}"
    names: list[str] = sorted({*(before.get(key) or {}), *(after.get(key) or {})})
    rows = [Comparison("All", *whole)]
    for name in names:
        shares = [(figures.get(key) or {}).get(name) for figures in (before, after, bare, forced)]
        rows.append(Comparison(_readable(what, name), *shares, *(length.get(name) for length in lengths)))
    return rows if names else []


def _tokens_by(evaluations: Sequence[Row], what: str) -> dict[str, float]:
    """Mean response length by family or level over the samples of the evaluations; empty if there are none."""
    lengths: dict[str, list[float]] = defaultdict(list)
    for sample in (sample for evaluation in evaluations for sample in evaluation.get("samples") or []):
        lengths[str(sample.get(what))].append(sample.get("response_tokens", 0))
    return {name: fmean(values) for name, values in lengths.items()}


def _with_interval(figure: Figure, figures: Row) -> str:
    shown = figure.form(figures.get(figure.key), 1)
    error = figures.get("accuracy_standard_error")
    if figure.key != "accuracy" or error is None:
        return shown
    return f"{shown} <small>\N{PLUS-MINUS SIGN} {196 * error:.1f}</small>"


def _judged(change: float | None, better: int) -> str:
    if not better or change is None or not round(change, 3):
        return ""
    return "better" if change * better > 0 else "worse"


def _short(figure: Figure, figures: Row) -> str:
    return figure.form(figures.get(figure.key), 0)


def _readable(what: str, name: str) -> str:
    return name.replace("_", " ") if what == "family" else f"Level {name}"


def _after_name(run: Run) -> str:
    if run.is_finished or len(run.evaluations) < 2:
        return "After"
    return f"Step {run.evaluations[-1]['step']:,}"
