"""Before and after in figures: the whole, by family, by level. Length stands beside accuracy everywhere."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from thinkwright.report.charts import strip
from thinkwright.report.series import Row, Run, interval
from thinkwright.report.text import ARROW, MISSING, escape, nats, percent, signed, tokens


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
    Figure("Held-out loss", "nats per token of worked answers never trained on", "held_out_loss", nats, -1),
    Figure("Told as people told", "held-out pairs ranked as people did", "held_out_accuracy", percent, 1),
    Figure("Single responses", "called good or bad as people did, at one half", "single_accuracy", percent, 1),
    Figure("Good above bad", "chance that a good response scores above a bad one (AUROC)", "auroc", percent, 1),
    Figure("Calibration error", "how far its confidence is off, on average", "calibration_error", percent, -1),
    Figure(
        "The longer one wins", "pairs right for one who always takes the longer", "longer_wins_accuracy", percent, 0
    ),
    Figure("Longer chosen", "pairs told right where the longer was chosen", "accuracy_chosen_longer", percent, 1),
    Figure("Shorter chosen", "pairs told right where the shorter was chosen", "accuracy_chosen_shorter", percent, 1),
    Figure("Leaning on length", "the difference of these two (length bias)", "length_bias", percent, 0),
    Figure("Score and length", "correlation of differences; -1 to 1", "score_length_correlation", nats, 0),
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
    cells: list[str] = []
    told = [figure for figure in FIGURES if figure.key in run.before or figure.key in run.after]
    for figure in told[:4]:
        shown = [figure.form(figures[figure.key], 0) for figures in (run.before, run.after) if figure.key in figures]
        value = f'<span class="arrow">{ARROW}</span>'.join(
            f'<span class="{kind}">{text}</span>' for kind, text in zip(("was", "is"), shown, strict=False)
        )
        cells.append(
            f'<div class="tile"><span class="tile-name">{escape(figure.name)}</span>'
            f'<span class="tile-value">{value}</span><span class="tile-meaning">{escape(figure.meaning)}</span></div>'
        )
    return f'<div class="tiles">{"".join(cells)}</div>' if cells else ""


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
            '<p class="aside">The two marks in grey are the base model before any reward, made to begin its response '
            "in a given way: answering at once, or going step by step. The gap between them is what thinking is worth "
            "to the base.</p>"
        )
    return "\n".join(parts)


def _result_table(run: Run) -> str:
    columns = list(zip(_column_names(run), (run.before, run.after), strict=False))
    rows: list[str] = []
    for figure in (*FIGURES, *pass_figures(run.before, run.after)):
        if all(figures.get(figure.key) is None for _, figures in columns):
            continue
        cells = "".join(f"<td>{_with_interval(figure, figures)}</td>" for _, figures in columns)
        cells += _change(figure, run) if run.after else ""
        name = f"<th scope=row>{escape(figure.name)}<small>{escape(figure.meaning)}</small></th>"
        rows.append(f"<tr>{name}{cells}</tr>")
    head = "".join(f"<th>{name}</th>" for name, _ in columns) + ("<th>Change</th>" if run.after else "")
    body = f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table class="result">{body}</table></div>{_sampling(run)}'


def pass_figures(*figures: Row) -> list[Figure]:
    """A row for each pass@k and cons@k that was measured, in the order of k."""
    names = {name for found in figures for name in found}
    one = "questions of which at least one of so many responses is right, estimated from all"
    vote = "questions whose most frequent answer is right, ties shared"
    kinds = (("pass_at_", "One of {} right", f"{one} (pass@{{}})"), ("cons_at_", "Vote of {}", f"{vote} (cons@{{}})"))
    return [
        Figure(name.format(k), meaning.format(k), f"{stem}{k}", percent, 1)
        for stem, name, meaning in kinds
        for k in sorted(int(key.removeprefix(stem)) for key in names if re.fullmatch(rf"{stem}\d+", key))
    ]


def _change(figure: Figure, run: Run) -> str:
    old, new = run.before.get(figure.key), run.after.get(figure.key)
    change = None if old is None or new is None else new - old
    scale, digits = (100 if figure.form is percent else 1), (3 if figure.form is nats else 1)
    shown = signed(None if change is None else scale * change, digits)
    return f'<td class="{_judged(change, figure.better)}">{shown}</td>'


def _sampling(run: Run) -> str:
    """How the figures were measured."""
    settings = run.before.get("settings") or {}
    if not settings:
        return ""
    keys = ("num_questions", "samples_per_question", "temperature", "max_response_tokens")
    questions, samples, temperature, limit = (escape(settings.get(key, MISSING)) for key in keys)
    return (
        f'<p class="aside">Measured on {questions} held-out questions, {samples} responses each, sampled at '
        f"temperature {temperature}, at most {limit} tokens, in the same way every time. "
        "Beside accuracy stands its 95% interval.</p>"
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
    names = _column_names(run)
    base = ["Base, at once", "Base, step by step"] if run.baselines else []
    heads = [f"<th class=base>{name}</th>" for name in base] + [f"<th>{name}</th>" for name in names]
    head = f"<th scope=col>{escape(what.capitalize())}</th><th class=wide>{_strip_axis()}</th>{''.join(heads)}"
    body = "".join(_comparison_row(row, names, base) for row in rows)
    kinds = (*("key-dot before", "key-dot after")[: len(names)], "key-tick bare", "key-tick forced")
    keys = "".join(
        f'<span class="{kind}">{name.lower()}</span>' for kind, name in zip(kinds, [*names, *base], strict=False)
    )
    return (
        f'<p class="legend">Right answers: {keys}</p><div class="scroll"><table class="comparison">'
        f"<thead><tr>{head}<th class=tokens>Tokens</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def _comparison_row(row: Comparison, names: list[str], base: list[str]) -> str:
    shares = list(zip(names, ("before", "after"), (row.before, row.after), strict=False))
    forced = list(zip(base, ("bare", "forced"), (row.bare, row.forced), strict=False))
    told = ", ".join(f"{name.lower()} {percent(share, 0)}" for name, _, share in forced + shares)
    marks = strip([(kind, share) for _, kind, share in forced + shares], f"{row.name}: {told}")
    cells = [f"<td class=base>{percent(share, 0)}</td>" for _, _, share in forced]
    cells += [f"<td{' class=is' if kind == 'after' else ''}>{percent(share, 0)}</td>" for _, kind, share in shares]
    lengths = f" {ARROW} ".join(tokens(value, 0) for value in (row.tokens_before, row.tokens_after)[: len(names)])
    return (
        f"<tr><th scope=row>{escape(row.name)}</th><td class=wide>{marks}</td>{''.join(cells)}"
        f"<td class=tokens>{lengths}</td></tr>"
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
    ends = interval(figures, figure.key)
    if ends is None:
        return shown
    return f"{shown} <small>{100 * ends[0]:.1f} to {100 * ends[1]:.1f}</small>"


def _judged(change: float | None, better: int) -> str:
    if not better or change is None or not round(change, 3):
        return ""
    return "better" if change * better > 0 else "worse"


def _readable(what: str, name: str) -> str:
    return name.replace("_", " ") if what == "family" else f"Level {name}"


def _column_names(run: Run) -> list[str]:
    """What the figures are of: before and after, or the one measurement there is."""
    before = "Base, left free" if run.is_pretraining else "Before"
    if not run.after:
        return [before]
    is_over = run.is_finished or not run.evaluations
    return [before, "After" if is_over else f"Step {run.evaluations[-1]['step']:,}"]
