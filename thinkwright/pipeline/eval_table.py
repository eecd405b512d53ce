"""The table of ``thinkwright eval``: models side by side, with intervals, and what tells them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from thinkwright.evaluation.estimators import estimate_difference
from thinkwright.evaluation.figures import Sample, by_question
from thinkwright.evaluation.strategies import Strategy
from thinkwright.run_folder import write_bytes_atomic


@dataclass(frozen=True)
class MeasuredModel:
    """What was found of one model on one suite."""

    samples: Sequence[Sample]
    """Of the free strategy."""
    figures: Mapping[Strategy, Mapping[str, Any]]


_MEANS = {
    "mean_response_tokens": ("tokens a response", "{:.1f}"),
    "mean_thinking_tokens": ("- of the thought", "{:.1f}"),
    "truncated_rate": ("cut at the limit", "{:.1%}"),
    "no_answer_rate": ("without an answer", "{:.1%}"),
    "language_consistency": ("language consistency", "{:.1%}"),
    "reflection_words": ("reflection words a response", "{:.2f}"),
}
_FREE = Strategy()


def write_tables(found: Mapping[str, Mapping[str, MeasuredModel]], out: Path) -> Path:
    """Write ``table.md``, a section for each suite, of what was found by model and suite; returns its path."""
    suites = next(iter(found.values())).keys()
    text = "\n".join(_section(suite, {model: of[suite] for model, of in found.items()}) for suite in suites)
    path = out / "table.md"
    write_bytes_atomic(path, text.encode())
    return path


def _section(suite: str, by_model: Mapping[str, MeasuredModel]) -> str:
    figures = {model: of.figures[_FREE] for model, of in by_model.items()}
    models = list(figures)
    rows = [["right answers", *(_interval(figures[model], "accuracy") for model in models)]]
    if len(models) > 1:
        base = by_model[models[0]].samples
        rows.append([f"- against {models[0]}", "-", *(_against(by_model[m].samples, base) for m in models[1:])])
    names = dict.fromkeys(name for model in models for name in figures[model] if f"{name}_low" in figures[model])
    rows += [
        [_title(name), *(_interval(figures[model], name) for model in models)] for name in names if name != "accuracy"
    ]
    rows += [
        [title, *(form.format(figures[m][name]) if name in figures[m] else "-" for m in models)]
        for name, (title, form) in _MEANS.items()
        if any(name in figures[model] for model in models)
    ]
    for strategy in by_model[models[0]].figures:
        if strategy != _FREE:
            label = strategy.name.replace("-", " ")
            rows.append([label, *(_strategy(by_model[model].figures.get(strategy)) for model in models)])
    lines = [f"## {suite}", "", f"| | {' | '.join(models)} |", "|---" * (len(models) + 1) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def _title(name: str) -> str:
    """pass@4, cons@16 gain, G-Pass@16 at 50 %, best of 8."""
    parts = name.split("_")
    if name.startswith("g_pass"):
        return f"G-Pass@{parts[3]}, {parts[4]} % right"
    if name.startswith("best_of"):
        return f"best of {parts[2]}"
    return f"{parts[0]}@{parts[2]}{' over one sample' if parts[-1] == 'gain' else ''}"


def _interval(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    sign = "+" if name.endswith("_gain") else ""
    return f"{figures[name]:{sign}.1%} [{figures[f'{name}_low']:{sign}.1%}, {figures[f'{name}_high']:{sign}.1%}]"


def _against(samples: Sequence[Sample], base: Sequence[Sample]) -> str:
    """The paired difference on the questions that both answered."""
    ours, theirs = ({name: _accuracy(rows) for name, rows in by_question(of).items()} for of in (samples, base))
    shared = [name for name in ours if name in theirs]
    if not shared:
        return "no question in common"
    found = estimate_difference([ours[name] for name in shared], [theirs[name] for name in shared])
    return f"{found.mean:+.1%} [{found.low:+.1%}, {found.high:+.1%}]"


def _strategy(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return "-"
    return f"{_interval(figures, 'accuracy')}, {figures['mean_response_tokens']:.1f} tokens"


def _accuracy(rows: Sequence[Sample]) -> float:
    return fmean(row["is_correct"] for row in rows)
