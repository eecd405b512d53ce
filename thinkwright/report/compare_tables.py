"""Recipes side by side in tables: final figures with intervals, the settings that differ, the runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from thinkwright.report.compare_groups import RunGroup, Told, final_figure
from thinkwright.report.results import FIGURES, Figure, pass_figures
from thinkwright.report.series import Run
from thinkwright.report.settings import meanings_of
from thinkwright.report.text import ARROW, MISSING, duration, escape, percent

_SIGNED = ("length_bias",)  # a difference of shares; the interval of a share ends at 0 and 1
_MAX_VALUE = 300  # characters of a setting


def figures_table(groups: Sequence[RunGroup]) -> str:
    """The last held-out figures of every recipe; coloured where the interval lies apart from the first recipe's."""
    runs = [run for group in groups for run in group.runs]
    rows: list[str] = []
    for figure in (*FIGURES, *pass_figures(*(figures for run in runs for figures in (run.before, run.after)))):
        found = [final_figure(group, figure.key) for group in groups]
        if any(found):
            cells = "".join(_cell(figure, told, found[0]) for told in found)
            rows.append(
                f"<tr><th scope=row>{escape(figure.name)}<small>{escape(figure.meaning)}</small></th>{cells}</tr>"
            )
    if not rows:
        return "<p>No held-out evaluation has been made in any of the runs.</p>"
    told = (
        "Below each figure its 95% interval: of several seeds that of their mean (Student's t), of one run over its "
        "questions. Coloured where it lies apart from the first recipe's."
    )
    head = f"<tr><td></td>{_heads(groups)}</tr>"
    return (
        f'<div class="scroll"><table class="models"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="aside">{told}</p>'
    )


def differences_table(groups: Sequence[RunGroup]) -> str:
    """The settings in which the recipes differ, by dotted key, values side by side."""
    if len(groups) < 2:
        return "<p>All runs have the same recipe, but for the seed.</p>"
    keys = list(dict.fromkeys(key for group in groups for key in group.settings))
    known = {key: meaning for group in groups for key, meaning in meanings_of(group.runs[0]).items()}
    differing = [key for key in keys if len({group.settings.get(key) for group in groups}) > 1]
    rows = "".join(
        f"<tr><th scope=row><code>{escape(key)}</code><br><small>{escape(known.get(key, ''))}</small></th>"
        f"{_values([group.settings.get(key) for group in groups])}</tr>"
        for key in differing
    )
    surroundings = {"git revision": "git", "computed on": "device", "number format": "dtype"}
    for name, key in surroundings.items():
        values = [", ".join(sorted({str(run.environment.get(key)) for run in group.runs})) for group in groups]
        rows += f"<tr><th scope=row>{name}</th>{_values(values)}</tr>" if len(set(values)) > 1 else ""
    same = len(keys) - len(differing)
    told = f"<p>{len(differing):,} settings differ, {same:,} are the same; {MISSING} where one is not set.</p>"
    head = f"<tr><th scope=col>Setting</th>{_heads(groups)}</tr>"
    return (
        f'{told}<div class="scroll"><table class="differences"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


def runs_table(groups: Sequence[RunGroup], place: Path) -> str:
    """Every run with its recipe, seed, length and result. ``place``: the folder that links start from."""
    rows = "".join(
        f'<tr><th scope=row><span class="swatch {group.colour}">{escape(group.label)}</span></th>'
        f"<td>{_link(run, place)}</td><td>{escape(run.summary.get('seed', run.setting('seed', MISSING)))}</td>"
        f"<td>{_steps(run)}</td>"
        f"<td>{duration(run.wall_seconds) if run.wall_seconds else MISSING}</td><td>{_accuracy(run)}</td></tr>"
        for group in groups
        for run in group.runs
    )
    names = ("Recipe", "Run", "Seed", "Steps", "Time", "Right answers")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    return (
        f'<div class="scroll"><table class="stages"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _heads(groups: Sequence[RunGroup]) -> str:
    return "".join(
        f'<th scope=col><span class="swatch {group.colour}">{escape(group.label)}</span><br>'
        f"<small>{len(group.runs)} {'run' if len(group.runs) == 1 else 'runs'}</small></th>"
        for group in groups
    )


def _cell(figure: Figure, told: Told | None, first: Told | None) -> str:
    if told is None:
        return f"<td>{MISSING}</td>"
    ends = ""
    if told.ends is not None:
        is_share = figure.form is percent and figure.key not in _SIGNED
        low, high = (figure.form(min(1.0, max(0.0, end)) if is_share else end, 1) for end in told.ends)
        ends = f"<br><small>{low} to {high}</small>"
    return f'<td class="{_judged(figure, told, first)}">{figure.form(told.mean, 1)}{ends}</td>'


def _judged(figure: Figure, told: Told, first: Told | None) -> str:
    """Better or worse than the first, if the intervals do not touch and the figure has a good side."""
    if not figure.better or first is None or told.ends is None or first.ends is None:
        return ""
    if told.ends[0] > first.ends[1]:
        return "better" if figure.better > 0 else "worse"
    if told.ends[1] < first.ends[0]:
        return "worse" if figure.better > 0 else "better"
    return ""


def _values(values: Sequence[str | None]) -> str:
    """A cell a recipe; those that differ from the first recipe's stand out."""
    return "".join(
        f'<td class="{"other" if value != values[0] else "same"}"><code>{_setting(value)}</code></td>'
        for value in values
    )


def _setting(value: str | None) -> str:
    if value is None:
        return MISSING
    return escape(value if len(value) <= _MAX_VALUE else f"{value[:_MAX_VALUE]} ...")


def _link(run: Run, place: Path) -> str:
    """The run's name, with a link to its report if that is there."""
    if not (run.folder / "report.html").is_file():
        return escape(run.name)
    path = Path(os.path.relpath(run.folder.resolve() / "report.html", place.resolve())).as_posix()
    return f'<a href="{escape(quote(path))}">{escape(run.name)}</a>'


def _steps(run: Run) -> str:
    return f"{run.num_steps:,}" if run.is_finished else f"{run.num_steps:,} of {run.planned_steps or '?'}, not finished"


def _accuracy(run: Run) -> str:
    shares = [figures.get("accuracy") for figures in (run.before, run.after)]
    return f" {ARROW} ".join(percent(share) for share in shares if share is not None) or MISSING
